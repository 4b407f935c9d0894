package authz

import (
	"net/http"
	"slices"
	"strings"
)

// What the gate refuses with a challenge (RFC 6750 section 3.1).
var (
	missingToken      = Error{Status: http.StatusUnauthorized, Code: "unauthorized", Description: "Sign in to use this server."}
	malformedRequest  = Error{Status: http.StatusBadRequest, Code: "invalid_request", Description: "Send one bearer token in one Authorization header."}
	invalidToken      = Error{Status: http.StatusUnauthorized, Code: "invalid_token", Description: "The token is unknown, expired, revoked, or for another server."}
	insufficientScope = Error{Status: http.StatusForbidden, Code: "insufficient_scope", Description: "The token lacks a scope that this call needs."}
)

// challenge is what every WWW-Authenticate for a URL says.
type challenge struct {
	metadata string // resource_metadata parameter (RFC 9728 section 5.1)
	// fixed are the answers that ask for the server's own scopes, by error code.
	fixed map[string]*refusal
}

func newChallenge(metadataURL string, required []string) challenge {
	c := challenge{metadata: `resource_metadata="` + metadataURL + `"`, fixed: map[string]*refusal{}}
	scope := strings.Join(withoutOfflineAccess(required), " ")
	for _, e := range []*Error{&missingToken, &malformedRequest, &invalidToken} {
		c.fixed[e.Code] = newRefusal(e, c.header(e, scope))
	}
	return c
}

// header returns the challenge for an error. A request without a credential
// did nothing wrong, so its challenge has no error code.
func (c *challenge) header(e *Error, scope string) string {
	var b strings.Builder
	b.WriteString("Bearer ")
	if e.Code != missingToken.Code {
		b.WriteString(`error="` + e.Code + `", error_description="` + e.Description + `", `)
	}
	b.WriteString(c.metadata)
	if scope != "" {
		b.WriteString(`, scope="` + scope + `"`)
	}
	return b.String()
}

// refuse answers with a challenge that asks for the server's required scopes.
// The body says the same with a correlation id, and nothing of the token.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, reason *Error) {
	g.challengeOf(r).fixed[reason.Code].write(w, g.log)
}

// refuseScope refuses a token that lacks a scope. The challenge names what the
// token has together with what the call needs: clients of revision 2025-11-25
// ask for exactly that, later ones add what they have themselves.
func (g *Gate) refuseScope(w http.ResponseWriter, r *http.Request, c *Caller) {
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
	e.Challenge = g.challengeOf(r).header(&e, strings.Join(withoutOfflineAccess(scopes), " "))
	e.write(w, g.log)
}

func (g *Gate) challengeOf(r *http.Request) *challenge {
	if strings.HasSuffix(r.URL.Path, "/") {
		return &g.slashed
	}
	return &g.plain
}

// withoutOfflineAccess returns the scopes that a resource may name in a
// challenge or in its metadata. offline_access is asked of the authorization
// server (MCP authorization, refresh tokens).
func withoutOfflineAccess(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == scopeOfflineAccess })
}
