package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// upstreamConns are the open connections to the MCP servers of a configuration.
// A call that waits for an answer can be ended through its connection, which
// costs the other calls nothing.
type upstreamConns struct {
	mu     sync.Mutex
	open   map[*upstreamConn]struct{}
	closed bool
}

type upstreamConn struct {
	net.Conn
	all *upstreamConns
}

var errStopping = errors.New("mcp_oauth: Caddy is stopping")

// transport returns Caddy's http transport of this configuration, with its
// connections known; nil for other transports, which are not watched, as HTTP/3
// is not. It is not the one that reverse_proxy loads for itself: active health
// checks use that from the moment it is there.
func (u *upstreamConns) transport(ctx caddy.Context, raw json.RawMessage) (*reverseproxy.HTTPTransport, error) {
	var named struct {
		Protocol string `json:"protocol"`
	}
	if len(raw) > 0 && (json.Unmarshal(raw, &named) != nil || named.Protocol != "http") {
		return nil, nil
	}
	own := new(reverseproxy.HTTPTransport)
	if err := caddy.StrictUnmarshalJSON(withoutMember(raw, "protocol"), own); err != nil {
		return nil, err
	}
	if err := own.Provision(ctx); err != nil {
		return nil, err
	}
	dial := own.Transport.DialContext
	own.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return u.add(conn)
	}
	return own, nil
}

func (u *upstreamConns) add(conn net.Conn) (net.Conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, errors.Join(errStopping, conn.Close())
	}
	c := &upstreamConn{conn, u}
	if u.open == nil {
		u.open = map[*upstreamConn]struct{}{}
	}
	u.open[c] = struct{}{}
	return c, nil
}

// Close implements net.Conn.
func (c *upstreamConn) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// close ends all connections, also those to come.
func (u *upstreamConns) close() {
	u.mu.Lock()
	u.closed = true
	open := u.open
	u.open = nil
	u.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}
