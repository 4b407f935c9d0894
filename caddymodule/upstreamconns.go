package caddymodule

import (
	"context"
	"errors"
	"net"
	"sync"

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

// watch makes the transport's connections known. Other transports than Caddy's
// http, and HTTP/3, are not watched.
func (u *upstreamConns) watch(t any) {
	transport, ok := t.(*reverseproxy.HTTPTransport)
	if !ok || transport.Transport == nil || transport.Transport.DialContext == nil {
		return
	}
	dial := transport.Transport.DialContext
	transport.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return u.add(conn)
	}
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
