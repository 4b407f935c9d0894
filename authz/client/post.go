package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const (
	// RequestTimeout bounds a request to a provider.
	RequestTimeout   = 15 * time.Second
	maxProviderReply = 64 << 10
)

// Endpoint is an endpoint of a provider that we authenticate at.
type Endpoint struct {
	URL string
	// Issuer is the provider's: what an assertion is meant for.
	Issuer string
	// Resource is the identifier of what tokens are for, to be sent along (RFC
	// 8707). It may be empty.
	Resource string
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
