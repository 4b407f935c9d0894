package upstream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http/httptrace"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
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
	all     *Conns
	shared  bool        // by calls at the same time: HTTP/2 without TLS
	reading atomic.Bool // the transport waits for what comes next
	closed  atomic.Bool
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
		return c.add(conn, own.Transport.Protocols != nil && own.Transport.Protocols.UnencryptedHTTP2())
	}
	return own, nil
}

// Direct returns Caddy's http transport to a server, as it is without options, and
// where to connect to.
func (c *Conns) Direct(ctx caddy.Context, s *config.Server) (*reverseproxy.HTTPTransport, string, error) {
	options, err := Options(s)
	if err != nil {
		return nil, "", err
	}
	own, err := c.Transport(ctx, options.TransportRaw)
	return own, dialAddress(s.URL), err
}

func (c *Conns) add(inner net.Conn, shared bool) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(errStopping, inner.Close())
	}
	watched := &conn{Conn: inner, all: c, shared: shared}
	if c.open == nil {
		c.open = map[*conn]struct{}{}
	}
	c.open[watched] = struct{}{}
	return watched, nil
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.reading.Store(true)
	n, err := c.Conn.Read(p)
	c.reading.Store(false)
	return n, err
}

// AwaitDrained returns when nothing is left of what came before on a connection that is
// used again; it is for httptrace.ClientTrace.GotConn. net/http lets a connection go on
// before it looks whether more came than the answer: whoever is quick would get the rest
// of somebody else's. Where there is a rest, the transport closes the connection; where
// there is none, it soon waits for more.
//
// On HTTP/2, where each answer says what it is to, there is nothing to wait for.
func AwaitDrained(got httptrace.GotConnInfo) {
	if !got.Reused {
		return
	}
	inner := got.Conn
	if over, ok := inner.(*tls.Conn); ok {
		if over.ConnectionState().NegotiatedProtocol == "h2" {
			return
		}
		inner = over.NetConn()
	}
	c, ok := inner.(*conn)
	if !ok || c.shared {
		return
	}
	var began time.Time
	for !c.reading.Load() && !c.closed.Load() {
		if began.IsZero() {
			began = time.Now()
		} else if time.Since(began) > maxDraining { // unless this machine stands still, never
			_ = c.Close()
		}
		runtime.Gosched()
	}
}

// maxDraining bounds for how long a connection that has answered may not be read from.
const maxDraining = 5 * time.Second

// Close implements net.Conn.
func (c *conn) Close() error {
	c.closed.Store(true)
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
