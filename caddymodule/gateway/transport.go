package gateway

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
)

// transport is the last hop to an upstream. What it adds to a request exists
// only here: later handlers, placeholders, retries and logs see the request as
// it was before. What must not reach the client is taken off the response here,
// before any response handler.
type transport struct {
	http.RoundTripper
	target *target
	host   string // the Host header, unless the operator's proxy block sets it
	// logged says that somebody looks at the request's headers when it is done,
	// see forgetHeaders.
	logged bool
}

// errNotGated cannot happen: requests come through the gate. If they ever
// should not, they get nowhere.
var errNotGated = errors.New("mcp_oauth: request without caller")

// outgoing is the copy of a request in one allocation.
type outgoing struct {
	req http.Request
	url url.URL
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := callOf(req.Context())
	if c == nil || c.target != t.target {
		return nil, errNotGated
	}
	stripInformational(req.Context())
	res, err := t.answer(req, c)
	t.forgetHeaders(req, res)
	return res, err
}

// answer returns what the client gets to see.
func (t *transport) answer(req *http.Request, c *Call) (*http.Response, error) {
	res, err := t.send(req, c)
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
		again, missing, err := t.sendAgain(req, c)
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
func (t *transport) sendAgain(req *http.Request, c *Call) (_ *http.Response, missing, _ error) {
	body, missing := c.renewAccount(req)
	if missing != nil {
		return nil, missing, nil
	}
	retry := *req
	retry.Body = body
	res, err := t.send(&retry, c)
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

// forgetHeaders takes the headers off a request that is done. reverse_proxy made
// this copy for the one round trip. What it still does with the headers is to
// encode them for a debug line, also when nobody logs that: more work than all
// that the gate does. On HTTP/2 it looks for Accept-Encoding in them.
func (t *transport) forgetHeaders(req *http.Request, res *http.Response) {
	if !t.logged && (res == nil || res.ProtoMajor == 1) {
		req.Header = nil
	}
}

// send makes one attempt.
func (t *transport) send(req *http.Request, c *Call) (*http.Response, error) {
	out := &outgoing{req: *req, url: *req.URL}
	out.req.URL = &out.url
	out.req.Trailer = nil // headers that come after the body, past everything that checks them
	t.address(out)
	t.setHeaders(out, c)
	began := c.server.Counts.begin()
	res, err := t.RoundTripper.RoundTrip(&out.req)
	c.server.Counts.end(began, res)
	return res, err
}

// address points the request to the upstream's path, whatever path the site
// has for it.
func (t *transport) address(out *outgoing) {
	if t.host != "" {
		out.req.Host = t.host
	}
	u := t.target.url
	out.url.Path, out.url.RawPath = u.Path, u.RawPath
	if u.RawQuery != "" { // no client may add to it: servers differ in which of two equal names they take
		out.url.RawQuery = u.RawQuery
	}
}

// setHeaders sets the credential, shared or the caller's own, and says who calls.
func (t *transport) setHeaders(out *outgoing, c *Call) {
	var own []accounts.CredentialHeader
	if c.account.credential != nil {
		own = c.account.credential.Headers
	}
	more := len(own) + len(t.target.headers) + len(t.target.claims) + len(c.statement)
	if c.server.Rules != nil {
		more++
	}
	if more == 0 {
		return
	}
	// The values are shared with the original: nobody changes them.
	header := make(http.Header, len(out.req.Header)+more)
	maps.Copy(header, out.req.Header)
	out.req.Header = header
	for _, h := range own {
		header[h.Name] = []string{h.Value}
	}
	for _, h := range t.target.headers {
		header[h.name] = h.values
	}
	if c.server.Rules != nil { // the answer will be read
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

// maxIdentityHeader bounds what a name can add to a request. A longer value is
// left out rather than cut: two people could become one.
const maxIdentityHeader = 4 << 10

// headerValue makes any text fit for a header: bytes other than printable ASCII
// are percent-encoded, as is the percent sign. The result is unique to the
// text.
func headerValue(text string) string {
	const digits = "0123456789ABCDEF"
	plain := func(c byte) bool { return c > ' ' && c <= '~' && c != '%' }
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		inner := c == ' ' && i > 0 && i < len(text)-1 // a header's outer spaces get lost
		if plain(c) || inner {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	if b.Len() > maxIdentityHeader {
		return ""
	}
	return b.String()
}

// stripInformational strips 1xx responses like final ones. reverse_proxy passes
// them on from a trace that it puts into the context for this round trip.
func stripInformational(ctx context.Context) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil || trace.Got1xxResponse == nil {
		return
	}
	pass := trace.Got1xxResponse
	trace.Got1xxResponse = func(code int, header textproto.MIMEHeader) error {
		headers.StripResponse(http.Header(header))
		return pass(code, header)
	}
}

// ProxyProtocolEnabled forwards what reverse_proxy asks its transport.
func (t *transport) ProxyProtocolEnabled() bool {
	p, ok := t.RoundTripper.(reverseproxy.ProxyProtocolTransport)
	return ok && p.ProxyProtocolEnabled()
}

// RequiresContentLength forwards what reverse_proxy asks its transport.
func (t *transport) RequiresContentLength() bool {
	c, ok := t.RoundTripper.(reverseproxy.ContentLengthRequiredTransport)
	return ok && c.RequiresContentLength()
}

var (
	_ reverseproxy.ProxyProtocolTransport         = (*transport)(nil)
	_ reverseproxy.ContentLengthRequiredTransport = (*transport)(nil)
)
