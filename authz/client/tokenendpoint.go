package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// TokenFailure is how far a request to a provider got. Only what surely did
// not happen, or was surely refused, may be sent again.
type TokenFailure int

// The failures.
const (
	// NotSent: the provider was not reached; it has seen nothing.
	NotSent TokenFailure = iota + 1
	// NoAnswer: the provider may have acted, but what it did is lost.
	NoAnswer
	// Refused: the provider said no, with Code.
	Refused
	// Unable: the provider said that it cannot, just now (5xx, 429).
	Unable
)

// TokenError is a failed request to a provider. Its text holds nothing that
// the provider wrote.
type TokenError struct {
	Failure TokenFailure
	// Status is that of the answer, if there was one.
	Status int
	// Code is the error code of a refusal, if it is a known one (RFC 6749
	// section 5.2), else "".
	Code string
	// OwnCode is true if a refusal has an error code, but not one that we know.
	OwnCode bool
	cause   error
}

func (e *TokenError) Error() string {
	text := [...]string{NotSent: "not sent", NoAnswer: "sent, no usable answer", Refused: "refused", Unable: "provider unable"}[e.Failure]
	if e.Status != 0 {
		text += fmt.Sprintf(", status %d", e.Status)
	}
	if e.Code != "" {
		text += ", " + e.Code
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// MayHaveActed reports whether the provider may have done what it was asked: no
// usable answer came, or one that does not say (500), perhaps of a gateway that
// got none itself (502, 504). 503 and 429 mean that it did nothing.
func (e *TokenError) MayHaveActed() bool {
	return e.Failure == NoAnswer ||
		e.Failure == Unable && e.Status != http.StatusServiceUnavailable && e.Status != http.StatusTooManyRequests
}

// Temporary reports whether a refusal says that another time may be better.
func (e *TokenError) Temporary() bool {
	return e.Code == "server_error" || e.Code == "temporarily_unavailable"
}

// Unclear reports whether a refusal leaves open what is refused: no error of
// OAuth came with it, and no status that means one.
func (e *TokenError) Unclear() bool {
	return e.Failure == Refused && e.Code == "" && e.Status != http.StatusUnauthorized &&
		!(e.OwnCode && (e.Status == http.StatusOK || e.Status == http.StatusBadRequest))
}

func (e *TokenError) Unwrap() error { return e.cause }

// requestToken sends one request to a token endpoint, exactly once, and reads
// the tokens. The form has what is particular to the grant type; client and
// resource are added. Errors are of type *TokenError.
func (c *Client) requestToken(ctx context.Context, at Endpoint, as Credentials, form url.Values) (*Tokens, error) {
	if at.Resource != "" {
		form.Set("resource", at.Resource) // RFC 8707 section 2.2; on refresh too
	}
	r, err := c.post(ctx, at, as, form)
	if err != nil {
		return nil, err
	}
	return readTokens(r, c.Quirks)
}

// RedeemCode exchanges an authorization code (RFC 6749 section 4.1.3). Errors
// are of type *TokenError.
func (c *Client) RedeemCode(ctx context.Context, at Endpoint, as Credentials, code, verifier, redirectURI string) (*Tokens, error) {
	return c.requestToken(ctx, at, as, url.Values{
		"grant_type":    {oauth.GrantAuthorizationCode},
		"code":          {code},
		"redirect_uri":  {redirectURI},
		"code_verifier": {verifier},
	})
}

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
