package toollists

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
)

// carrier takes requests to one server as one person, through its proxy.
type carrier struct {
	server *gateway.Server
	own    gateway.Own
	from   origin
}

// origin is what the proxy is told of where a request comes from: whose page it is for.
// Nothing else of the request for the page goes on.
type origin struct {
	host, remoteAddr, clientIP string
	trusted                    bool
	secure                     *http.Request // only its TLS counts
	server                     *caddyhttp.Server
}

// originOf returns that of a request that Caddy serves.
func originOf(r *http.Request) (o origin, ok bool) {
	o = origin{host: r.Host, remoteAddr: r.RemoteAddr, secure: &http.Request{TLS: r.TLS}}
	o.clientIP, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	o.trusted, _ = caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	o.server, ok = r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return o, ok
}

// RoundTrip implements http.RoundTripper. It never follows a redirect.
func (c *carrier) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	reader, writer := io.Pipe()
	a := &answer{header: http.Header{}, body: writer, begun: make(chan struct{})}
	go func() {
		defer cancel()
		a.end(c.send(a, req.WithContext(ctx)))
	}()
	select {
	case <-a.begun:
	case <-ctx.Done(): // it ended, or has not begun in time
		select {
		case <-a.begun:
		default:
			return nil, ctx.Err()
		}
	}
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		StatusCode: a.status, Header: a.sent, Request: req, ContentLength: -1,
		Body: &body{reader, cancel},
	}, nil
}

// send sends a request, as the proxy expects one of Caddy's.
func (c *carrier) send(a *answer, req *http.Request) (err error) {
	r := &http.Request{
		Method: req.Method, URL: &url.URL{Path: c.server.Path}, RequestURI: c.server.Path,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: req.Header, Body: req.Body, ContentLength: req.ContentLength,
		Host: c.from.host, RemoteAddr: c.from.remoteAddr, TLS: c.from.secure.TLS,
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r = caddyhttp.PrepareRequest(r.WithContext(req.Context()), caddy.NewReplacer(), a, c.from.server)
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, c.from.clientIP)
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, c.from.trusted)
	defer func() { // what a proxy does when an answer breaks off; nobody else is there to end it
		if broken := recover(); broken != nil {
			err = errBroken
		}
	}()
	return c.server.SendOwn(c.own, a, r)
}

var errBroken = errors.New("mcp_oauth: the answer of the server broke off")

// body is what is read of an answer. Closing it ends the request.
type body struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// answer is the answer of the server on its way.
type answer struct {
	header http.Header // the proxy's to change
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed once the following is there

	status int
	sent   http.Header
	err    error
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status < http.StatusOK { // more will come
		return
	}
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.begun)
	})
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// FlushError is what http.ResponseController looks for.
func (*answer) FlushError() error { return nil }

// end tells that nothing more comes.
func (a *answer) end(err error) {
	a.once.Do(func() {
		if a.err = err; err == nil {
			a.err = errBroken
		}
		close(a.begun)
	})
	_ = a.body.CloseWithError(err) // which never fails; nil is io.EOF
}
