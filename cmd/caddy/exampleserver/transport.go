// Package exampleserver is a small MCP server that runs inside the Caddy of
// this repository, so that Caddyfile.example needs nothing else. It listens on
// no port: a reverse_proxy reaches it through the transport `mcp_example`.
//
// It is linked only into cmd/caddy, never into a Caddy built with xcaddy.
package exampleserver

import (
	"context"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func init() {
	caddy.RegisterModule(new(Transport))
}

// Transport takes every request to the example server in this process.
type Transport struct {
	server *http.Server
	client *http.Transport
}

// CaddyModule returns the Caddy module information.
func (*Transport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.mcp_example",
		New: func() caddy.Module { return new(Transport) },
	}
}

// Provision starts the server on connections in memory.
func (t *Transport) Provision(caddy.Context) error {
	tools := newServer()
	t.server = &http.Server{Handler: mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return tools }, nil)}
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	t.client = &http.Transport{DialContext: l.dial, MaxIdleConnsPerHost: 8}
	go func() { _ = t.server.Serve(l) }() // ends with Cleanup
	return nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r.URL.Scheme = "http"
	return t.client.RoundTrip(r)
}

// UnmarshalCaddyfile reads the transport's name; there are no options.
func (*Transport) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() || d.NextBlock(0) {
		return d.ArgErr()
	}
	return nil
}

// Cleanup stops the server once the last request has ended.
func (t *Transport) Cleanup() error {
	if t.server == nil {
		return nil
	}
	go func() {
		_ = t.server.Shutdown(context.Background())
		t.client.CloseIdleConnections()
	}()
	return nil
}

// listener hands over the server's ends of connections in memory.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The HTTP server calls it once.
func (l *listener) Close() error {
	close(l.closed)
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "mcp_example", Net: "pipe"} }

var (
	_ caddy.Provisioner     = (*Transport)(nil)
	_ caddy.CleanerUpper    = (*Transport)(nil)
	_ caddyfile.Unmarshaler = (*Transport)(nil)
	_ http.RoundTripper     = (*Transport)(nil)
)
