package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Conns are the open connections to the MCP servers of a configuration.
// A call that waits for an answer can be ended through its connection, which
// costs the other calls nothing.
type Conns struct {
	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
}

type conn struct {
	net.Conn
	all *Conns
}

var errStopping = errors.New("mcp_oauth: Caddy is stopping")

// Transport returns Caddy's http transport of this configuration, with its
// connections known; nil for other transports, which are not watched, as HTTP/3
// is not. It is not the one that reverse_proxy loads for itself: active health
// checks use that from the moment it is there.
func (c *Conns) Transport(ctx caddy.Context, raw json.RawMessage) (*reverseproxy.HTTPTransport, error) {
	options := map[string]json.RawMessage{}
	if len(raw) > 0 {
		var protocol string
		if json.Unmarshal(raw, &options) != nil || json.Unmarshal(options["protocol"], &protocol) != nil || protocol != "http" {
			return nil, nil
		}
	}
	delete(options, "protocol") // which names the module
	raw, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	own := new(reverseproxy.HTTPTransport)
	if err := caddy.StrictUnmarshalJSON(raw, own); err != nil {
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
		return c.add(conn)
	}
	return own, nil
}

func (c *Conns) add(inner net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(errStopping, inner.Close())
	}
	watched := &conn{inner, c}
	if c.open == nil {
		c.open = map[*conn]struct{}{}
	}
	c.open[watched] = struct{}{}
	return watched, nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// Close ends all connections, also those to come.
func (c *Conns) Close() {
	c.mu.Lock()
	c.closed = true
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}
