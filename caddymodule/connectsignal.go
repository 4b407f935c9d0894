package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// scopeAsksPerMinute bounds how often somebody is asked to consent to more
// scopes at one server: one that still wants some then wants what it will not
// get (MCP authorization, step-up).
const scopeAsksPerMinute = 3

// maxLinkScopes bounds what scopes add to a link.
const maxLinkScopes = 2 << 10

// answerRoom is what the answer to our input request adds to a retry, besides
// its state: the names of two members, the key of the request, an action, and
// whatever else a client puts there.
const answerRoom = 1 << 10

// asksByURL is the first revision with the error -32042.
const asksByURL = "2025-11-25"

// refuse answers a call for which there is no working credential.
func (c *connectedCall) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if c.refuseMismatch(w, c.request()) {
		return
	}
	shared := c.connection.Mode == accounts.OAuth
	missing := errors.Is(err, accounts.ErrNotConnected) || errors.Is(err, accounts.ErrNeedsReauth)
	switch {
	case missing && !shared:
		c.askToConnect(w, r, nil)
	case missing:
		c.fail(w, r, http.StatusServiceUnavailable, "An operator has to connect this MCP server first.", err)
	case errors.Is(err, errOtherAccount):
		c.site.noSession(w)
	case errors.Is(err, accounts.ErrRefused):
		c.refuseCall(w, shared)
	case errors.Is(err, errNotKept):
		c.fail(w, r, http.StatusServiceUnavailable, "The account was renewed; send the call again.", err)
	case errors.Is(err, accounts.ErrDamaged):
		c.fail(w, r, http.StatusBadGateway, "The stored account cannot be read; an operator has to look.", err)
	case errors.Is(err, accounts.ErrUnavailable):
		c.fail(w, r, http.StatusServiceUnavailable, "The provider of this MCP server does not answer; try again shortly.", err)
	default: // the store, or a client that hung up
		c.fail(w, r, http.StatusServiceUnavailable, "The server cannot answer right now; try again shortly.", err)
	}
}

// refuseCall answers for an upstream that refuses this call, while nothing says
// that the account works no more: neither connection nor grant ends, whatever
// the client sent. The person is told where to connect anew, should that help.
func (c *connectedCall) refuseCall(w http.ResponseWriter, shared bool) {
	message := fmt.Sprintf("%s does not accept this call.", c.upstream.title)
	if !shared {
		message += fmt.Sprintf(" Open %s to connect your account again if it no longer works.", c.site.as.Links.URL(c.caller.Identity, c.upstream.id))
	}
	c.say(w, http.StatusBadGateway, message)
}

// fail answers with a failure of ours or of the provider.
func (c *connectedCall) fail(w http.ResponseWriter, r *http.Request, status int, message string, cause error) {
	id := oauth.NewCorrelationID()
	if r.Context().Err() == nil {
		c.site.log.Error("a call went without its account", zap.String("server", c.upstream.id),
			zap.String("correlation_id", id), zap.Error(cause))
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	mcp.WriteErrorTo(w, c.request(), status, message, id)
}

// refuseScope answers for an account that works but lacks scopes: the person
// is asked to consent to them, if the upstream says which (RFC 6750 section 3
// lets it leave that out).
func (c *connectedCall) refuseScope(w http.ResponseWriter, r *http.Request, scopes []string) {
	if c.refuseMismatch(w, c.request()) {
		return
	}
	slices.Sort(scopes)
	if n := len(strings.Join(scopes, " ")); n > maxLinkScopes {
		c.site.log.Warn("an MCP server wants more scopes than a link has room for; configure scopes of the server, and connect again",
			zap.String("server", c.upstream.id), zap.Int("scopes", len(scopes)), zap.Int("bytes", n))
		scopes = nil
	}
	if c.connection.Mode == accounts.OAuth || len(scopes) == 0 || !c.allowScopeAsk() {
		c.say(w, http.StatusForbidden, fmt.Sprintf("The account at %s is not allowed to do this.", c.upstream.title))
		return
	}
	c.askToConnect(w, r, scopes)
}

// allowScopeAsk counts one more time that the person is asked for more scopes at
// this server. Which scopes does not matter: the server chooses them.
func (c *connectedCall) allowScopeAsk() bool {
	key := c.site.as.Config().Issuer + " " + c.upstream.id + " " + c.caller.Identity.Subject
	return c.site.limiter.Allow("scope_ask", key, scopeAsksPerMinute)
}

// askToConnect tells the client to have its person connect the server, in the
// best way that it understands.
func (c *connectedCall) askToConnect(w http.ResponseWriter, r *http.Request, scopes []string) {
	if r.Method == http.MethodDelete { // the session went with the account
		c.site.noSession(w)
		return
	}
	request := c.request()
	revision := c.header.Get(mcp.HeaderProtocolVersion)
	link := c.site.as.Links.URL(c.caller.Identity, c.upstream.id, scopes...)
	message := fmt.Sprintf("Connect your account at %s to go on.", c.upstream.title)
	// Some clients cut what they show after 300 characters: the link comes first.
	words := fmt.Sprintf("Open %s in a browser to connect your account at %s, then try again.", link, c.upstream.title)
	byURL := c.awaitsWord()
	switch {
	case request == nil || request.ID == nil:
		if byURL {
			c.refuseUnasked(w, r, message)
			return
		}
	case request.Method == mcp.Subscribe && request.URLElicitation:
		c.refuseUnasked(w, r, message)
		return
	case request.TakesInput() && request.URLElicitation && request.Revision == revision && !c.round.Declined:
		state, err := c.site.states.Mint(c.asked(), request, c.round, time.Now())
		if err == nil && c.keepsRetry(state) {
			c.site.links.ask(c.askedClient(), time.Now())
			mcp.WriteInputRequired(w, request, c.upstream.id, link, message, state)
			return
		}
	case byURL:
		c.site.links.ask(c.askedClient(), time.Now())
		c.site.links.await(link, c.mcpSession(), scopes, time.Now())
		mcp.WriteURLElicitationRequired(w, request, elicitationID(link), link, message)
		return
	}
	// A virtual key has no authorization page behind it. Nor does that page
	// know which scopes are missing, and whoever declined must not be sent there.
	if c.caller.ClientID == "" || len(scopes) > 0 || c.round.Declined {
		c.say(w, http.StatusForbidden, words)
		return
	}
	// While the person has a link, the client waits, and whatever else it sends
	// can wait with it.
	if c.site.links.isOpen(c.askedClient(), time.Now()) {
		c.refuseUnasked(w, r, words)
		return
	}
	if revision == "" && request != nil { // an initialize has no header yet
		revision = request.Revision
	}
	c.gate.Disconnected(w, r, c.caller, revision)
}

// refuseUnasked refuses what a client sends or opens by itself, and which takes
// no question: its next request will be asked. Its grant must not end before.
func (c *connectedCall) refuseUnasked(w http.ResponseWriter, r *http.Request, message string) {
	if r.Method == http.MethodGet { // the answer of a server without such a stream, which clients put up with
		w.Header().Set("Allow", "POST, DELETE")
		c.site.refuse(w, http.StatusMethodNotAllowed, message)
		return
	}
	c.say(w, http.StatusForbidden, message)
}

// refuseMismatch answers a request whose headers say something else than its
// body, from which it would be answered (P-2). It reports whether it did.
func (c *connectedCall) refuseMismatch(w http.ResponseWriter, request *mcp.Request) bool {
	if request == nil || request.MatchesHeaders(c.header) {
		return false
	}
	id := oauth.NewCorrelationID()
	c.site.log.Debug("the headers of a request do not match its body", zap.String("correlation_id", id))
	mcp.WriteHeaderMismatch(w, request, id)
	return true
}

// keepsRetry reports whether the retry with this state will be held whole, as
// it must be for the state to be taken out again (D-25).
func (c *connectedCall) keepsRetry(state string) bool {
	return len(c.body.bytes())+len(state)+len(c.upstream.id)+answerRoom <= maxHeldBody
}

// say answers in words: to a tool call as its result, which people and models
// get to see, else as an error.
func (c *connectedCall) say(w http.ResponseWriter, status int, message string) {
	request := c.request()
	if request != nil && request.IsToolCall() {
		mcp.WriteToolError(w, request, message)
		return
	}
	id := oauth.NewCorrelationID()
	c.site.log.Debug("a call needs an account", zap.String("server", c.upstream.id), zap.String("correlation_id", id))
	mcp.WriteErrorTo(w, request, status, message, id)
}

// request returns what the body asks for, or nil if that cannot be told.
func (c *connectedCall) request() *mcp.Request {
	request, err := mcp.ParseRequest(c.body.bytes())
	if err != nil {
		return nil
	}
	return request
}
