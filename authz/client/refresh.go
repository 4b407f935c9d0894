package client

import (
	"context"
	"net/url"
)

// RefreshParams says which optional parameters a refresh carries. The zero
// value is what suits most providers: scope is left out, which means the one
// that was granted (RFC 6749 section 6), and resource is there (RFC 8707
// section 2.2). Salesforce refuses scope, Entra does not do without it in
// every tenant, and some that take a resource elsewhere refuse it here.
type RefreshParams struct {
	Scope      bool `json:"scope,omitempty"`
	NoResource bool `json:"no_resource,omitempty"`
}

// Refresh asks for new tokens (RFC 6749 section 6), exactly once. The scopes
// are those that were granted, never more. Errors are of type *TokenError.
func (c *Client) Refresh(ctx context.Context, at Endpoint, as Credentials, refreshToken string, granted []string, params RefreshParams) (*Tokens, error) {
	if params.NoResource {
		at.Resource = ""
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}}
	if params.Scope {
		form.Set("scope", c.Quirks.joinScopes(granted))
	}
	return c.requestToken(ctx, at, as, form)
}

// AboutParams reports whether the provider refused the request for what it was
// written with, and so did not look at the token.
func (e *TokenError) AboutParams() bool {
	return e.Failure == Refused && (e.Code == "invalid_request" || e.Code == "invalid_scope" || e.Code == "invalid_target")
}

// Others returns what else to try after such a refusal, each once, for a
// connection with or without granted scopes and a resource.
func (p RefreshParams) Others(failure *TokenError, granted []string, resource string) []RefreshParams {
	if !failure.AboutParams() {
		return nil
	}
	var others []RefreshParams
	if failure.Code != "invalid_target" && len(granted) > 0 {
		other := p
		other.Scope = !other.Scope
		others = append(others, other)
	}
	if failure.Code != "invalid_scope" && resource != "" {
		other := p
		other.NoResource = !other.NoResource
		others = append(others, other)
	}
	return others
}
