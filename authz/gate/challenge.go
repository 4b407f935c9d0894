package gate

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
)

// What the gate refuses with a challenge (RFC 6750 section 3.1).
var (
	missingToken      = oauth.Error{Status: http.StatusUnauthorized, Code: "unauthorized", Description: "Sign in to use this server."}
	malformedRequest  = oauth.Error{Status: http.StatusBadRequest, Code: "invalid_request", Description: "Send one bearer token in one Authorization header."}
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

// reject answers with a challenge that asks for the server's required scopes.
// The body says the same with a correlation id, and nothing of the token.
func (g *Gate) reject(w http.ResponseWriter, r *http.Request, reason *oauth.Error) {
	g.challengeOf(r).fixed[reason.Code].Write(w, g.log)
}

// rejectMissing answers a request without a token. A person who looks at the URL
// with a browser gets a page about it, under the same challenge.
func (g *Gate) rejectMissing(w http.ResponseWriter, r *http.Request) {
	if g.deps.Landing != nil && oauth.IsNavigation(r) {
		g.challengeOf(r).fixed[missingToken.Code].WritePage(w, r, g.deps.Landing)
		return
	}
	g.reject(w, r, &missingToken)
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
	g.challengeScope(w, r, scopes)
}

// challengeScope answers that a token with these scopes is needed.
func (g *Gate) challengeScope(w http.ResponseWriter, r *http.Request, scopes []string) {
	e := insufficientScope
	e.Challenge = oauth.BearerChallenge{
		Error: e.Code, Description: e.Description, ResourceMetadata: g.challengeOf(r).metadataURL,
		Scope: strings.Join(oauth.WithoutOfflineAccess(scopes), " "),
	}.String()
	e.Write(w, g.log)
}

func (g *Gate) challengeOf(r *http.Request) *challenge {
	if strings.HasSuffix(r.URL.Path, "/") {
		return &g.slashed
	}
	return &g.plain
}
