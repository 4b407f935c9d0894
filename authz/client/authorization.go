package client

import (
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

const (
	// maxScopes and maxScopesLen bound what a provider is asked for. Beyond, its
	// web server would refuse the authorization request for its length.
	maxScopes    = 500
	maxScopesLen = 8 << 10
)

// AuthorizationRequest is what a browser is sent to a provider with.
type AuthorizationRequest struct {
	ClientID, RedirectURI, State string
	// Verifier is that of PKCE.
	Verifier string
	// Resource and Scopes may be empty.
	Resource string
	Scopes   []string
	// Nonce, Prompt, MaxAge and ACRValues are those of OpenID Connect, and may be
	// empty.
	Nonce, Prompt, MaxAge string
	ACRValues             []string
}

// URL returns the request to an authorization endpoint (RFC 6749 section 4.1.1,
// RFC 7636 section 4.3, RFC 8707 section 2.1).
func (r *AuthorizationRequest) URL(endpoint string, quirks Quirks) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", Errorf(ProviderUnusable, "malformed authorization_endpoint")
	}
	q := u.Query() // an endpoint may have its own (RFC 6749 section 3.1)
	setNonEmpty(q, "prompt", r.Prompt)
	for name, value := range quirks.AuthorizeParams {
		q.Set(name, value)
	}
	q.Set("response_type", "code")
	q.Set("client_id", r.ClientID)
	q.Set("redirect_uri", r.RedirectURI)
	q.Set("state", r.State)
	q.Set("code_challenge", oauth.CodeChallenge(r.Verifier))
	q.Set("code_challenge_method", oauth.MethodS256)
	setNonEmpty(q, "nonce", r.Nonce)
	setNonEmpty(q, "max_age", r.MaxAge)
	setNonEmpty(q, "acr_values", strings.Join(r.ACRValues, " "))
	q.Del("scope")
	q.Del("resource")
	setNonEmpty(q, quirks.scopeParam(), quirks.joinScopes(r.Scopes))
	setNonEmpty(q, "resource", r.Resource)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

func setNonEmpty(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// OfflinePrompt returns the prompt without which offline_access is ignored
// (OpenID Connect Core section 11).
func OfflinePrompt(scopes []string) string {
	if slices.Contains(scopes, oauth.OfflineAccess) {
		return "consent"
	}
	return ""
}

// scopeParam returns the name of the parameter that has the scopes of an
// authorization request.
func (q Quirks) scopeParam() string {
	if q.UserToken {
		return "user_scope"
	}
	return "scope"
}

// joinScopes returns the value of a scope parameter.
func (q Quirks) joinScopes(scopes []string) string {
	separator := " "
	if q.ScopeSeparator != "" {
		separator = q.ScopeSeparator
	}
	return strings.Join(scopes, separator)
}

// RequestedScopes returns what to ask for: what the resource needs and, when a
// call lacked a scope, that one together with those that were granted (MCP
// authorization, step-up). offline_access is added where the provider knows
// it, as without it some issue no refresh token.
func (p *Provider) RequestedScopes(extra, granted []string) []string {
	scopes := p.Scopes
	if len(extra) > 0 {
		scopes = oauth.UnionScopes(granted, scopes, extra)
	}
	if slices.Contains(p.ScopesSupported.Scopes(), oauth.OfflineAccess) {
		scopes = oauth.UnionScopes(scopes, []string{oauth.OfflineAccess})
	}
	return scopes
}

// CheckScopes refuses more scopes than can be asked for: a part of them would be
// a connection that fails at whatever needs the others. The name is that of what
// wants them, as in Client.
func CheckScopes(name string, scopes []string) error {
	if n := len(scopes); n > maxScopes || len(strings.Join(scopes, " ")) > maxScopesLen {
		return Errorf(ProviderUnusable, "the %d scopes that %s wants are too many to ask for (at most %d in %d bytes); configure scopes",
			n, name, maxScopes, maxScopesLen)
	}
	return nil
}
