package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const (
	// RequestTimeout bounds a request to a provider.
	RequestTimeout   = 15 * time.Second
	maxProviderReply = 64 << 10
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

// Endpoint is an endpoint of a provider that we authenticate at.
type Endpoint struct {
	URL string
	// Issuer is the provider's: what an assertion is meant for.
	Issuer string
	// Resource is the identifier of what tokens are for, to be sent along (RFC
	// 8707). It may be empty.
	Resource string
}

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
	return readTokens(r)
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

// reply is what a provider answered.
type reply struct {
	status    int
	mediaType string
	body      []byte
}

// post sends a form to an endpoint of a provider. An answer of any
// status is a reply. Redirects are not followed: what the form holds is for
// this endpoint alone. Errors are of type *TokenError.
func (c *Client) post(ctx context.Context, at Endpoint, as Credentials, form url.Values) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	// A connection that is made will be written to, perhaps after our context
	// has ended. What happened before it was made, the provider cannot know.
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	header := http.Header{}
	if err := c.Profile.authenticate(at.Issuer, as, c.Now(), header, form); err != nil {
		return nil, &TokenError{Failure: NotSent, cause: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &TokenError{Failure: NotSent, cause: errors.New("malformed endpoint")}
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := c.reach(req.URL).Do(req)
	if err != nil {
		if !connected.Load() {
			return nil, &TokenError{Failure: NotSent, cause: transportError(err)}
		}
		return nil, &TokenError{Failure: NoAnswer, cause: transportError(err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProviderReply+1))
	if err != nil && resp.StatusCode < http.StatusBadRequest {
		return nil, &TokenError{Failure: NoAnswer, Status: resp.StatusCode, cause: transportError(err)}
	}
	return &reply{status: resp.StatusCode, mediaType: egress.MediaType(resp.Header), body: body}, nil
}
