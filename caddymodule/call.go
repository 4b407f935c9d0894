package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
)

// callKey is where the call travels in Caddy's table of variables: it costs no
// new context.
const callKey = "mcp_oauth.call"

// call is one request to an MCP server, from the gate to the transport.
type call struct {
	*gatedServer
	site   *site
	client http.ResponseWriter
	caller *tokens.Caller
	// connected is nil unless the call carries somebody's account.
	connected *connectedCall
	answer    stream // of the upstream
}

// gatedServer is an MCP server with the gate in front of it.
type gatedServer struct {
	gate     *authz.Gate
	upstream *upstream
	headers  *headers.Filter // of a client's request that go on
	// connection is nil unless somebody's account is connected.
	connection *accounts.Server
}

// serve lets the call through to the upstream, or answers it.
func (g *gatedServer) serve(s *site, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if !passes(r.Method) {
		w.Header().Set("Allow", "GET, HEAD, POST, DELETE, OPTIONS")
		s.refuse(w, http.StatusMethodNotAllowed, "MCP does not use this method.")
		return nil
	}
	caller := g.gate.Check(w, r)
	if caller == nil {
		if s.logged {
			addToAccessLog(r, zap.String("mcp_server", g.upstream.id))
		}
		return nil
	}
	if !g.headers.Strip(r.Header) {
		s.refuse(w, http.StatusBadRequest, "A header of which there is only one, such as Mcp-Session-Id or Content-Type, was sent with several values.")
		return nil
	}
	if g.connection != nil {
		return g.serveConnected(s, w, r, next, caller)
	}
	c := &call{gatedServer: g, site: s, client: w, caller: caller}
	c.describe(r)
	if session, ok := c.openSession(r); !ok || !session.OpenedWith("") {
		c.site.noSession(w)
		return nil
	}
	caddyhttp.SetVar(r.Context(), callKey, c)
	return c.failed(w, g.upstream.proxy.ServeHTTP(w, r, next))
}

// passes reports whether a method can go on to the gate. Those that MCP does not
// use have no business at an upstream, and some do harm there: TRACE would show
// the client what the gateway adds to its requests, CONNECT opens a tunnel, such
// as a WebSocket over HTTP/2, that nobody looks into.
func passes(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}

// describe tells Caddy who calls: in placeholders and in the access log.
func (c *call) describe(r *http.Request) {
	ctx := r.Context()
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Delete("http.auth.user.id") // of another handler: the token decides
		repl.Map(c.placeholder)
	}
	if c.site.logged {
		addToAccessLog(r, zap.Inline(c))
	}
}

// addToAccessLog adds a field to what Caddy logs of the request.
func addToAccessLog(r *http.Request, field zap.Field) {
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(field)
	}
}

// placeholder implements caddy.ReplacerFunc.
func (c *call) placeholder(key string) (any, bool) {
	if key == "http.auth.user.id" {
		return c.caller.Identity.Subject, true
	}
	name, ours := strings.CutPrefix(key, "http.mcp_oauth.")
	if !ours {
		return nil, false
	}
	switch name {
	case "server":
		return c.upstream.id, true
	case "client_id":
		return c.caller.ClientID, true
	case "grant_id":
		return c.caller.GrantID, true
	case "scope":
		return c.caller.Scope, true
	default:
		return nil, false
	}
}

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (c *call) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("mcp_server", c.upstream.id)
	enc.AddString("mcp_client", c.caller.ClientID)
	return nil
}

// openSession gives a request the upstream's MCP session id for the client's,
// in place, and returns the session; an empty one if the request is in none.
// It reports whether the session is the caller's.
func (c *call) openSession(r *http.Request) (mcp.Session, bool) {
	ids := r.Header[mcp.HeaderSessionID]
	switch {
	case len(ids) == 0:
		return mcp.Session{}, true
	case !mcp.HasSessions(r.Header.Get(mcp.HeaderProtocolVersion)):
		delete(r.Header, mcp.HeaderSessionID)
		return mcp.Session{}, true
	}
	session, ok := c.site.sessions.Unwrap(c.caller.Holder, c.upstream.id, ids[0])
	ids[0] = session.ID
	return session, ok
}

// noSession answers for a session that is none of the caller's, or was ended:
// the client opens a new one.
func (s *site) noSession(w http.ResponseWriter) {
	s.refuse(w, http.StatusNotFound, "There is no such session; initialize a new one.")
}

// refuse answers for a mistake of the client's.
func (s *site) refuse(w http.ResponseWriter, status int, message string) {
	id := oauth.NewCorrelationID()
	s.log.Debug("request refused", zap.String("correlation_id", id), zap.Int("status", status), zap.String("description", message))
	mcp.WriteError(w, status, message, id)
}

// credentialRefused replaces an upstream's 401. It is about the credential of
// the gateway: the client could do nothing about it, and would follow the
// challenge to the wrong authorization server.
func (c *call) credentialRefused(res *http.Response) *http.Response {
	_ = res.Body.Close()
	id := oauth.NewCorrelationID()
	c.site.log.Error("the MCP server refused the gateway's credential; see `auth` of the server",
		zap.String("server", c.upstream.id), zap.String("correlation_id", id))
	return replaced(res, func(w http.ResponseWriter) {
		mcp.WriteError(w, http.StatusBadGateway, "The MCP server does not accept this gateway.", id)
	})
}

// redirected replaces an upstream's redirect. Its address is the gateway's to
// know, and where it leads no token of ours is good.
func (c *call) redirected(res *http.Response) *http.Response {
	_ = res.Body.Close()
	id := oauth.NewCorrelationID()
	to := "not a URL"
	if u, err := res.Location(); err == nil {
		u.RawQuery, u.Fragment, u.User = "", "", nil // may hold secrets
		to = u.String()
	}
	c.site.log.Error("the MCP server redirects; configure the URL that it redirects to",
		zap.String("server", c.upstream.id), zap.String("location", to), zap.String("correlation_id", id))
	return replaced(res, func(w http.ResponseWriter) {
		mcp.WriteError(w, http.StatusBadGateway, "The MCP server is at another address than this gateway thinks.", id)
	})
}

// replaced puts an answer of our own in the place of an upstream's.
func replaced(res *http.Response, write func(http.ResponseWriter)) *http.Response {
	a := &answer{header: http.Header{}}
	write(a)
	return a.replace(res)
}

// stepUp replaces an upstream's 403 that asks for scopes which are ours to
// grant. It returns nil if it does not.
func (c *call) stepUp(r *http.Request, res *http.Response) *http.Response {
	challenge := oauth.ParseChallenge(res.Header)
	a := &answer{header: http.Header{}}
	if !challenge.InsufficientScope || !c.gate.StepUp(a, r, c.caller, challenge.Scopes) {
		return nil
	}
	_ = res.Body.Close()
	return a.replace(res)
}

func (a *answer) replace(res *http.Response) *http.Response {
	res.StatusCode, res.Status = a.status, http.StatusText(a.status)
	res.Header, res.Trailer = a.header, nil
	res.ContentLength, res.TransferEncoding, res.Uncompressed = int64(a.body.Len()), nil, false
	res.Body = io.NopCloser(&a.body)
	return res
}

// answer holds an answer of our own until it takes the place of an upstream's.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// failed answers for an upstream that could not be reached. Other errors are
// Caddy's.
func (c *call) failed(w http.ResponseWriter, err error) error {
	if err == nil { // before failure, which costs an allocation
		return nil
	}
	var failure caddyhttp.HandlerError
	if !errors.As(err, &failure) || failure.StatusCode < http.StatusInternalServerError {
		return err
	}
	id := oauth.NewCorrelationID()
	c.site.log.Error("the MCP server cannot be reached", zap.String("server", c.upstream.id),
		zap.String("correlation_id", id), zap.Error(failure.Err))
	if failure.StatusCode == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	mcp.WriteError(w, failure.StatusCode, "The MCP server cannot be reached.", id)
	return nil
}
