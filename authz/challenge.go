package authz

import (
	"net/http"
	"slices"
	"strings"
)

// refusal is an answer with a challenge.
type refusal struct {
	Error
	// scope is what the challenge asks for; empty for the server's required scopes.
	scope string
}

// What the gate refuses with a challenge (RFC 6750 section 3.1). A request
// without a credential gets no error code in its challenge.
var (
	missingToken     = refusal{Error: Error{Status: http.StatusUnauthorized, Code: "unauthorized", Description: "Sign in to use this server."}}
	malformedRequest = refusal{Error: Error{Status: http.StatusBadRequest, Code: "invalid_request", Description: "Send one bearer token in one Authorization header."}}
	invalidToken     = refusal{Error: Error{Status: http.StatusUnauthorized, Code: "invalid_token", Description: "The token is unknown, expired, revoked, or for another server."}}
)

// insufficientScope refuses a token that lacks a scope. The challenge names
// what the token has together with what the call needs: clients of revision
// 2025-11-25 ask for exactly that, later ones add what they have themselves.
func (g *Gate) insufficientScope(c *Caller) refusal {
	scopes := strings.Fields(c.Scope)
	for _, s := range g.server.Scopes {
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return refusal{
		Error: Error{Status: http.StatusForbidden, Code: "insufficient_scope", Description: "The token lacks a scope that this call needs."},
		scope: strings.Join(withoutOfflineAccess(scopes), " "),
	}
}

// withoutOfflineAccess returns the scopes that a resource may name in a
// challenge or in its metadata. offline_access is asked of the authorization
// server (MCP authorization, refresh tokens).
func withoutOfflineAccess(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == scopeOfflineAccess })
}

// challenges are what every challenge of a URL has in common.
type challenges struct {
	metadata string // resource_metadata parameter (RFC 9728 section 5.1)
	scope    string // default scope
}

func newChallenges(metadataURL string, required []string) challenges {
	return challenges{metadata: `resource_metadata="` + metadataURL + `"`, scope: strings.Join(withoutOfflineAccess(required), " ")}
}

func (c *challenges) header(r *refusal) string {
	var b strings.Builder
	b.WriteString("Bearer ")
	if r.Code != missingToken.Code {
		b.WriteString(`error="` + r.Code + `", error_description="` + r.Description + `", `)
	}
	b.WriteString(c.metadata)
	scope := r.scope
	if scope == "" {
		scope = c.scope
	}
	if scope != "" {
		b.WriteString(`, scope="` + scope + `"`)
	}
	return b.String()
}

// refuse answers with a challenge. The body repeats it with a correlation id,
// and says nothing of the token.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, ref refusal) {
	c := &g.plain
	if strings.HasSuffix(r.URL.Path, "/") {
		c = &g.slashed
	}
	w.Header().Set("WWW-Authenticate", c.header(&ref))
	writeError(w, g.log, &ref.Error)
}
