package caddymodule

import (
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// connectedCall is a call that carries somebody's account at the upstream.
type connectedCall struct {
	call
	header     http.Header // as the client sent it, but for what the gate strips
	credential *accounts.Credential
	session    mcp.Session
	round      mcp.Round // what a retry says about an input request of ours
	body       heldBody
}

// serveConnected lets the call through with the caller's own credential, or
// tells the client what is missing.
func (g *gatedServer) serveConnected(s *site, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, caller *tokens.Caller) error {
	c := &connectedCall{call: call{gatedServer: g, site: s, client: w, caller: caller}, header: r.Header}
	c.connected = c
	c.describe(r)
	if err := c.body.hold(w, r); err != nil {
		return bodyUnread(err)
	}
	defer c.body.release()
	var owns bool
	if c.session, owns = c.openSession(r); !owns {
		c.site.noSession(w)
		return nil
	}
	if !c.takeState(w, r) {
		return nil
	}
	var err error
	if c.credential, err = s.broker.Credential(r.Context(), caller.Identity.Subject, g.upstream.id); err != nil {
		c.refuse(w, r, err)
		return nil
	}
	// P-11: a session that was opened with another account is none of this one.
	if c.session.ID != "" && !c.session.OpenedWith(c.credential.Link) {
		c.site.noSession(w)
		return nil
	}
	caddyhttp.SetVar(r.Context(), callKey, &c.call)
	if c.awaitsWord() {
		answer := &sessionStream{ResponseWriter: w, links: s.links, session: c.mcpSession(), standalone: r.Method == http.MethodGet}
		defer answer.close()
		w = answer
	}
	return c.failed(w, g.upstream.proxy.ServeHTTP(w, r, next))
}

// awaitsWord reports whether the client may be told, on a stream of this
// session, that its person has connected the server.
func (c *connectedCall) awaitsWord() bool {
	return c.session.URLElicitation && c.header.Get(mcp.HeaderProtocolVersion) >= asksByURL
}

func (c *connectedCall) askedClient() askedClient {
	return askedClient{c.site.as.Config().Issuer, c.caller.GrantID, c.upstream.id}
}

func (c *connectedCall) mcpSession() mcpSession { return mcpSession{c.askedClient(), c.session.ID} }

// bodyUnread answers for a body that could not be held.
func bodyUnread(err error) error {
	var limit caddyhttp.HandlerError // of the request_body directive
	switch {
	case errors.As(err, &limit):
		return limit
	case errors.Is(err, os.ErrDeadlineExceeded):
		return caddyhttp.Error(http.StatusRequestTimeout, err)
	}
	return caddyhttp.Error(http.StatusBadRequest, err)
}

// takeState removes our request state from a retry. It reports whether the
// request goes on.
func (c *connectedCall) takeState(w http.ResponseWriter, r *http.Request) bool {
	body := c.body.bytes()
	if mcp.HasSessions(r.Header.Get(mcp.HeaderProtocolVersion)) || !mcp.MayCarry(body) {
		return true
	}
	request, err := mcp.ParseRequest(body)
	if err != nil {
		return true // then it cannot be ours
	}
	if c.refuseMismatch(w, request) {
		return false
	}
	forward, round, err := c.site.states.Take(c.asked(), request, time.Now())
	if err != nil {
		id := oauth.NewCorrelationID()
		c.site.log.Debug("a request state came with another request", zap.String("correlation_id", id), zap.Error(err))
		mcp.WriteInvalidState(w, request, id)
		return false
	}
	if forward != nil {
		c.body.replace(r, forward)
	}
	c.round = round
	return true
}

func (c *connectedCall) asked() mcp.Asked {
	id := &c.caller.Identity
	return mcp.Asked{Subject: id.Subject, Proof: id.Proof, ClientID: c.caller.ClientID, Server: c.upstream.id}
}

// bindSession returns the session id to give to the client for the upstream's.
func (c *call) bindSession(id string) string {
	if c.connected == nil {
		return c.site.sessions.Wrap(c.caller.Holder, c.upstream.id, id)
	}
	// It is an initialize that opens a session.
	request, err := mcp.ParseRequest(c.connected.body.bytes())
	urls := err == nil && request.URLElicitation || c.connected.session.URLElicitation
	return c.site.sessions.WrapLinked(c.caller.Holder, c.upstream.id, id, c.connected.credential.Link, urls)
}

// waitingOn returns how a stream waits for word once it has no account any more,
// or nil if its client does not.
func (c *call) waitingOn(r *http.Request) *waiting {
	if c.connected == nil || r == nil || r.Method != http.MethodGet || !c.connected.awaitsWord() {
		return nil
	}
	return &waiting{left: r.Context().Done(), over: make(chan struct{})}
}
