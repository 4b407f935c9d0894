package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway/upstream"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/relay"
)

// transport is the last hop to an upstream. What it adds to a request exists
// only here: later handlers, placeholders, retries and logs see the request as
// it was before. What must not reach the client is taken off the response here,
// before any response handler.
type transport struct {
	http.RoundTripper
	target  *target
	host    string // the Host header, unless the operator's proxy block sets it
	address string // where to connect to, unless reverse_proxy says it
}

// attempt makes the request of one more attempt, with headers of its own if there are
// more to be added.
type attempt func(more int) *http.Request

// answer returns what the client, whose request is req, gets to see.
func (t *transport) answer(req *http.Request, c *Call, next attempt) (*http.Response, error) {
	res, err := t.send(c, next)
	if c.own {
		return res, err
	}
	if b := c.judged.brokenOff(); b != nil {
		if err == nil {
			_ = res.Body.Close()
		}
		return c.answerBroken(req, b), nil
	}
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusUnauthorized {
		if c.account.credential == nil {
			return c.credentialDenied(req, res), nil
		}
		_ = res.Body.Close()
		again, missing, err := t.sendAgain(req, c, next)
		if err != nil {
			return nil, err
		}
		if missing != nil {
			return replace(res, func(w http.ResponseWriter) { newSignal(c, w, req).noCredential(missing) }), nil
		}
		res = again
	}
	res = c.prepare(req, res)
	c.request.body.Taken()
	return res, nil
}

// sendAgain sends a call that was answered with 401 once more, with another
// credential. The 401 says that the call was not processed. missing is why there
// is no answer for the client. A second 401 says no more of the account than the
// first: it is the call's.
func (t *transport) sendAgain(req *http.Request, c *Call, next attempt) (_ *http.Response, missing, _ error) {
	body, missing := c.renewAccount(req)
	if missing != nil {
		return nil, missing, nil
	}
	res, err := t.send(c, func(more int) *http.Request {
		again := next(more)
		again.Body = body
		return again
	})
	if err != nil {
		return nil, nil, err
	}
	if res.StatusCode == http.StatusUnauthorized {
		_ = res.Body.Close()
		c.server.record(req, c, event.Event{
			Kind: event.ServerMisconfigured, Reason: "renewed_credential_denied", Detail: "The MCP server denies a credential that has just been renewed.",
		})
		return nil, accounts.ErrRefused, nil
	}
	return res, nil, nil
}

// send makes one attempt.
func (t *transport) send(c *Call, next attempt) (*http.Response, error) {
	out := next(t.added(c))
	t.direct(out)
	t.setHeaders(out.Header, c)
	if c.own { // no call, so it counts as none
		return t.RoundTripper.RoundTrip(out)
	}
	began := c.server.Counts.begin()
	res, err := t.RoundTripper.RoundTrip(out)
	c.server.Counts.end(began, res)
	if err == nil && res.StatusCode >= http.StatusOK && !relay.IsFinal(res.StatusCode) { // Go's server would panic
		_ = res.Body.Close()
		return nil, fmt.Errorf("%w: %d", relay.ErrNoFinalStatus, res.StatusCode)
	}
	return res, err
}

// direct points the request to the upstream's path, whatever path the site
// has for it.
func (t *transport) direct(out *http.Request) {
	if t.host != "" {
		out.Host = t.host
	}
	if t.address != "" {
		out.URL.Host = t.address
	}
	u := t.target.url
	out.URL.Path, out.URL.RawPath = u.Path, u.RawPath
	if u.RawQuery != "" { // no client may add to it: servers differ in which of two equal names they take
		out.URL.RawQuery = u.RawQuery
	}
}

// added returns how many headers setHeaders sets at most.
func (t *transport) added(c *Call) int {
	more := len(t.target.headers) + len(t.target.claims) + len(c.statement)
	if c.account.credential != nil {
		more += len(c.account.credential.Headers)
	}
	if c.reads() {
		more++
	}
	return more
}

// setHeaders sets the credential, shared or the caller's own, and says who calls.
func (t *transport) setHeaders(header http.Header, c *Call) {
	if c.account.credential != nil {
		for _, h := range c.account.credential.Headers {
			header[h.Name] = []string{h.Value}
		}
	}
	for _, h := range t.target.headers {
		header[h.name] = h.values
	}
	if c.reads() { // the answer will be read
		header["Accept-Encoding"] = identity
		delete(header, "Range")
	}
	if c.statement != nil {
		header[t.target.statement] = c.statement
	}
	for _, claim := range t.target.claims {
		if value := headerValue(claim.value(c.caller)); value != "" {
			header[claim.name] = []string{value}
		}
	}
}

// identity is the encoding that changes nothing.
var identity = []string{"identity"}

// proxied is the transport of a reverse_proxy, which knows nothing of calls.
type proxied struct {
	transport
	// logged says that somebody looks at the request's headers when it is done,
	// see forgetHeaders.
	logged bool
}

// errNotGated cannot happen: requests come through the gate. If they ever
// should not, they get nowhere.
var errNotGated = errors.New("mcp_oauth: request without caller")

// RoundTrip implements http.RoundTripper.
func (p *proxied) RoundTrip(req *http.Request) (*http.Response, error) {
	c := callOf(req.Context())
	if c == nil || c.target != p.target {
		return nil, errNotGated
	}
	trace(req.Context())
	res, err := p.answer(req, c, func(more int) *http.Request { return copyOf(req, more) })
	p.forgetHeaders(req, res)
	return res, err
}

// outgoing is the copy of a request in one allocation.
type outgoing struct {
	req http.Request
	url url.URL
}

// copyOf returns a copy of a request, with headers of its own only where there are
// more to be added.
func copyOf(req *http.Request, more int) *http.Request {
	out := &outgoing{req: *req, url: *req.URL}
	out.req.URL = &out.url
	out.req.Trailer = nil // headers that come after the body, past everything that checks them
	if more > 0 {         // the values are shared with the original: nobody changes them
		out.req.Header = make(http.Header, len(req.Header)+more)
		maps.Copy(out.req.Header, req.Header)
	}
	return &out.req
}

// forgetHeaders takes the headers off a request that is done. reverse_proxy made
// this copy for the one round trip. What it still does with the headers is to
// encode them for a debug line, also when nobody logs that: more work than all
// that the gate does. On HTTP/2 it looks for Accept-Encoding in them.
func (p *proxied) forgetHeaders(req *http.Request, res *http.Response) {
	if !p.logged && (res == nil || res.ProtoMajor == 1) {
		req.Header = nil
	}
}

// trace strips 1xx responses like final ones, and keeps answers apart. reverse_proxy
// passes 1xx responses on from a trace that it puts into the context for this round
// trip.
func trace(ctx context.Context) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil || trace.Got1xxResponse == nil {
		return
	}
	pass := trace.Got1xxResponse
	trace.Got1xxResponse = func(code int, header textproto.MIMEHeader) error {
		if err := relay.CheckInformational(code); err != nil {
			return err
		}
		headers.StripResponse(http.Header(header))
		return pass(code, header)
	}
	trace.GotConn = upstream.AwaitDrained
}

// ProxyProtocolEnabled forwards what reverse_proxy asks its transport.
func (p *proxied) ProxyProtocolEnabled() bool {
	inner, ok := p.RoundTripper.(reverseproxy.ProxyProtocolTransport)
	return ok && inner.ProxyProtocolEnabled()
}

// RequiresContentLength forwards what reverse_proxy asks its transport.
func (p *proxied) RequiresContentLength() bool {
	inner, ok := p.RoundTripper.(reverseproxy.ContentLengthRequiredTransport)
	return ok && inner.RequiresContentLength()
}

var (
	_ reverseproxy.ProxyProtocolTransport         = (*proxied)(nil)
	_ reverseproxy.ContentLengthRequiredTransport = (*proxied)(nil)
)
