package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
)

// prepare prepares an upstream's response, which is no 401, for the client.
func (c *Call) prepare(req *http.Request, res *http.Response) *http.Response {
	if res.StatusCode == http.StatusForbidden {
		if answer := c.insufficientScope(req, res); answer != nil {
			return answer
		}
	}
	if isRedirect(res) {
		return c.redirected(req, res)
	}
	if reason := whyNotMCP(req, res); reason != "" {
		c.server.record(req, c, event.Event{Kind: event.ServerFailed, Reason: reason, Status: res.StatusCode})
	}
	if res.ContentLength < 0 || res.ProtoMajor > 1 {
		res = withoutTrailers(res)
	}
	headers.StripResponse(res.Header)
	if ids := res.Header[mcp.HeaderSessionID]; len(ids) > 0 {
		res.Header[mcp.HeaderSessionID] = []string{c.wrapSession(ids[0])}
	}
	res = c.withoutForbidden(req, res)
	if res.ContentLength != 0 {
		res.Body = c.track(res)
	}
	return res
}

// track has the answer ended when its caller would not pass any more.
func (c *Call) track(res *http.Response) io.ReadCloser {
	s := &c.answer
	if s.registry != nil {
		s = new(stream) // of another attempt
	}
	s.ReadCloser, s.client = res.Body, c.client
	s.server, s.caller, s.credential, s.judged = c.server, c.caller, c.account.credential, c.judged
	if s.events = isEventStream(res.Header); s.events && res.Request != nil && res.Request.Method == http.MethodGet && c.awaitsNotification() {
		s.waiting = &waiting{left: res.Request.Context().Done(), over: make(chan struct{})}
	}
	return c.server.Site.Streams.track(s)
}

// insufficientScope replaces an upstream's 403 that asks for scopes: of the
// person's account there or, where that has none, of those that are ours to
// grant. It returns nil if it does not.
func (c *Call) insufficientScope(req *http.Request, res *http.Response) *http.Response {
	challenge := oauth.ParseChallenge(res.Header)
	if !challenge.InsufficientScope {
		return nil
	}
	if c.account.credential != nil && c.server.Auth.Mode != config.PerUserHeaders {
		return replace(res, func(w http.ResponseWriter) { newSignal(c, w, req).insufficientScope(challenge.Scopes) })
	}
	a := newAnswer()
	if !c.server.Gate.StepUp(a, req, c.caller, challenge.Scopes) {
		return nil
	}
	return a.replace(res)
}

// credentialDenied replaces an upstream's 401 to the gateway's own credential:
// the client could do nothing about it, and would follow the challenge to the
// wrong authorization server.
func (c *Call) credentialDenied(req *http.Request, res *http.Response) *http.Response {
	id := c.server.refer(req, c, event.Event{
		Kind: event.ServerMisconfigured, Reason: "credential_denied", Status: http.StatusBadGateway,
		Detail: "The MCP server denies the gateway's credential; see `auth` of the server, and `identity_jwt` if it has that.",
	})
	return replace(res, func(w http.ResponseWriter) {
		mcp.WriteError(w, http.StatusBadGateway, "The MCP server does not accept this gateway.", id)
	})
}

// redirected replaces an upstream's redirect. Its address is the gateway's to
// know, and where it leads no token of ours is good.
func (c *Call) redirected(req *http.Request, res *http.Response) *http.Response {
	to := "not a URL"
	if u, err := res.Location(); err == nil {
		u.RawQuery, u.Fragment, u.User = "", "", nil // may hold secrets
		to = u.String()
	}
	id := c.server.refer(req, c, event.Event{
		Kind: event.ServerMisconfigured, Reason: "redirects", Status: http.StatusBadGateway,
		Detail: "The MCP server redirects; configure the URL that it redirects to.", Err: errors.New("redirected to " + to),
	})
	return replace(res, func(w http.ResponseWriter) {
		mcp.WriteError(w, http.StatusBadGateway, "The MCP server is at another address than this gateway thinks.", id)
	})
}

// whyNotMCP returns the reason why an answer, which goes to the client as it is,
// cannot be that of an MCP server that works; most often, none.
func whyNotMCP(req *http.Request, res *http.Response) string {
	switch {
	case res.StatusCode >= http.StatusInternalServerError:
		return "server_error"
	case req.Method != http.MethodPost: // of which servers may know nothing, and say so with a page
		return ""
	case res.StatusCode == http.StatusNotFound && len(req.Header[mcp.HeaderSessionID]) == 0 && !isOf(res.Header, "application/json"):
		// Within a session, that is how a server says that it has ended; with JSON, that
		// it does not know the method (MCP 2026-07-28).
		return "not_found"
	case res.StatusCode == http.StatusOK && isOf(res.Header, "text/html"):
		return "web_page"
	}
	return ""
}

// isRedirect reports whether a response sends the client elsewhere (RFC 9110
// section 15.4).
func isRedirect(res *http.Response) bool {
	return res.StatusCode/100 == 3 && len(res.Header["Location"]) > 0
}

// withoutTrailers returns the response without the headers that come after the
// body, past everything that checks them. Reading the body puts them into the
// response it came with, so this is another.
func withoutTrailers(res *http.Response) *http.Response {
	without := *res
	without.Trailer = nil
	return &without
}

func isEventStream(h http.Header) bool { return isOf(h, mcp.EventStream) }

// isOf reports whether a body is of the media type.
func isOf(h http.Header, mediaType string) bool {
	values := h["Content-Type"]
	return len(values) > 0 && len(values[0]) >= len(mediaType) && strings.EqualFold(values[0][:len(mediaType)], mediaType)
}

// isEncoded reports whether a body is something else than what its type says.
func isEncoded(h http.Header) bool {
	for _, value := range h["Content-Encoding"] {
		if value != "" && !strings.EqualFold(value, "identity") {
			return true
		}
	}
	return false
}

// mayBeEvents reports whether some client takes a body for an event stream.
func mayBeEvents(h http.Header) bool {
	return strings.Contains(strings.ToLower(strings.Join(h["Content-Type"], ",")), mcp.EventStream)
}

// answer holds an answer of our own until it takes the place of an upstream's.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// replace puts an answer of our own in the place of an upstream's.
func replace(res *http.Response, write func(http.ResponseWriter)) *http.Response {
	a := newAnswer()
	write(a)
	return a.replace(res)
}

func (a *answer) replace(res *http.Response) *http.Response {
	_ = res.Body.Close()
	res.StatusCode, res.Status = a.status, http.StatusText(a.status)
	res.Header, res.Trailer = a.header, nil
	res.ContentLength, res.TransferEncoding, res.Uncompressed = int64(a.body.Len()), nil, false
	res.Body = io.NopCloser(&a.body)
	return res
}
