package gate

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// What the gate refuses with a challenge (RFC 6750 section 3.1).
var (
	missingToken      = oauth.Error{Status: http.StatusUnauthorized, Code: "unauthorized", Reason: "no_token", Description: "Sign in to use this server."}
	malformedRequest  = oauth.Error{Status: http.StatusBadRequest, Code: "invalid_request", Reason: "malformed_authorization", Description: "Send one bearer token in one Authorization header."}
	invalidToken      = oauth.Error{Status: http.StatusUnauthorized, Code: "invalid_token", Description: "The token is unknown, expired, revoked, or for another server."}
	insufficientScope = oauth.Error{Status: http.StatusForbidden, Code: "insufficient_scope", Description: "The token lacks a scope that this call needs."}
)

// challenge is what every WWW-Authenticate for a URL says.
type challenge struct {
	metadataURL string
	// fixed are the answers that ask for the server's own scopes, by error code.
	fixed map[string]*oauth.PreparedError
}

func newChallenge(metadataURL string, required []string) challenge {
	c := challenge{metadataURL: metadataURL, fixed: map[string]*oauth.PreparedError{}}
	scope := strings.Join(oauth.WithoutOfflineAccess(required), " ")
	for _, e := range []oauth.Error{missingToken, malformedRequest, invalidToken} {
		b := oauth.BearerChallenge{ResourceMetadata: metadataURL, Scope: scope}
		if e.Code != missingToken.Code {
			b.Error, b.Description = e.Code, e.Description
		}
		e.Challenge = b.String()
		c.fixed[e.Code] = oauth.PrepareError(&e)
	}
	return c
}

// refuse answers for a token that does not pass, which may have been for c.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, c *tokens.Caller, token string, err error) {
	reason, invalid := errors.AsType[refused](err)
	switch {
	case invalid && !tokens.HasAccessTokenForm(token) && !g.deps.AllowWrongToken(r):
		g.fail(w, r, c, ratelimit.ErrTooManyAttempts)
	case invalid:
		g.reject(w, r, &invalidToken, g.about(c, event.Event{Reason: string(reason)}))
	case errors.Is(err, errInsufficientScope):
		g.rejectScope(w, r, c)
	default:
		g.fail(w, r, c, err)
	}
}

// fail answers where there is no challenge to follow.
func (g *Gate) fail(w http.ResponseWriter, r *http.Request, c *tokens.Caller, err error) {
	e := oauth.AsError(err)
	e.Answer(w, g.refer(r, g.about(c, e.Event(event.GateRefused))))
}

// about adds to an event who calls, as far as is known.
func (g *Gate) about(c *tokens.Caller, e event.Event) event.Event {
	if c != nil {
		e.Person, e.Identity, e.Client, e.Grant = c.Identity.Subject, c.Identity.Kind, c.ClientID, c.GrantID
	}
	return e
}

// refer records an event at this server, and returns the reference to show.
func (g *Gate) refer(r *http.Request, e event.Event) string {
	e.Server = g.server.ID
	return g.deps.Events.Refer(g.deps.Events.Of(r), e)
}

// reject answers with a challenge that asks for the server's required scopes.
// The body says the same with a correlation id, and nothing of the token. why is
// what the log has besides.
func (g *Gate) reject(w http.ResponseWriter, r *http.Request, answer *oauth.Error, why event.Event) {
	prepared := g.challengeOf(r).fixed[answer.Code]
	e := answer.Event(cmp.Or(why.Kind, event.GateRefused))
	why.Kind, why.Detail, why.Status, why.Reason = e.Kind, e.Detail, e.Status, cmp.Or(why.Reason, e.Reason)
	prepared.Write(w, g.refer(r, why))
}

// rejectMissing answers a request without a token. A person who looks at the URL
// with a browser gets a page about it, under the same challenge.
func (g *Gate) rejectMissing(w http.ResponseWriter, r *http.Request) {
	if g.deps.Landing != nil && oauth.IsNavigation(r) {
		g.challengeOf(r).fixed[missingToken.Code].WritePage(w, r, g.deps.Landing)
		return
	}
	g.reject(w, r, &missingToken, event.Event{})
}

// rejectScope refuses a token that lacks a scope. The challenge names what the
// token has together with what the call needs: clients of revision 2025-11-25
// ask for exactly that, later ones add what they have themselves.
func (g *Gate) rejectScope(w http.ResponseWriter, r *http.Request, c *tokens.Caller) {
	scopes := strings.Fields(c.Scope)
	for _, s := range g.server.Scopes {
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	g.challengeScope(w, r, c, scopes, event.Event{Kind: event.GateRefused})
}

// challengeScope answers that a token with these scopes is needed. why is what the
// log has besides.
func (g *Gate) challengeScope(w http.ResponseWriter, r *http.Request, c *tokens.Caller, scopes []string, why event.Event) {
	e := insufficientScope
	e.Challenge = oauth.BearerChallenge{
		Error: e.Code, Description: e.Description, ResourceMetadata: g.challengeOf(r).metadataURL,
		Scope: strings.Join(oauth.WithoutOfflineAccess(scopes), " "),
	}.String()
	e.Reason = why.Reason
	e.Answer(w, g.refer(r, g.about(c, e.Event(why.Kind))))
}

func (g *Gate) challengeOf(r *http.Request) *challenge {
	if strings.HasSuffix(r.URL.Path, "/") {
		return &g.slashed
	}
	return &g.plain
}
