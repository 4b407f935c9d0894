package accounts

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

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const (
	providerTimeout  = 15 * time.Second
	maxProviderReply = 64 << 10
)

// tokenFailure is how far a request to a provider got. Only what surely did
// not happen, or was surely refused, may be sent again.
type tokenFailure int

const (
	// notSent: the provider was not reached; it has seen nothing.
	notSent tokenFailure = iota + 1
	// noAnswer: the provider may have acted, but what it did is lost.
	noAnswer
	// refused: the provider said no, with Code.
	refused
	// unable: the provider said that it cannot, just now (5xx, 429).
	unable
)

// tokenError is a failed request to a provider. Its text holds nothing that
// the provider wrote.
type tokenError struct {
	Failure tokenFailure
	// Status is that of the answer, if there was one.
	Status int
	// Code is the error code of a refusal, if it is a known one (RFC 6749
	// section 5.2), else "".
	Code string
	// OwnCode tells that a refusal has an error code, but not one that we know.
	OwnCode bool
	cause   error
}

func (e *tokenError) Error() string {
	text := [...]string{notSent: "not sent", noAnswer: "sent, no usable answer", refused: "refused", unable: "provider unable"}[e.Failure]
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

// mayHaveActed reports whether the provider may have done what it was asked: no
// usable answer came, or one that does not say (500), perhaps of a gateway that
// got none itself (502, 504). 503 and 429 mean that it did nothing.
func (e *tokenError) mayHaveActed() bool {
	return e.Failure == noAnswer ||
		e.Failure == unable && e.Status != http.StatusServiceUnavailable && e.Status != http.StatusTooManyRequests
}

// forNow reports whether a refusal says that another time may be better.
func (e *tokenError) forNow() bool {
	return e.Code == "server_error" || e.Code == "temporarily_unavailable"
}

// unclear reports whether a refusal leaves open what is refused: no error of
// OAuth came with it, and no status that means one.
func (e *tokenError) unclear() bool {
	return e.Failure == refused && e.Code == "" && e.Status != http.StatusUnauthorized &&
		!(e.OwnCode && (e.Status == http.StatusOK || e.Status == http.StatusBadRequest))
}

func (e *tokenError) Unwrap() error { return e.cause }

// requestToken sends one request to the token endpoint of a link, exactly
// once, and reads the tokens. The form has what is particular to the grant
// type; client and resource are added. Errors are of type *tokenError.
func (b *Broker) requestToken(ctx context.Context, s *Server, l link, c *client, form url.Values) (*tokenReply, error) {
	if l.Resource != "" {
		form.Set("resource", l.Resource) // RFC 8707 section 2.2; on refresh too
	}
	a, err := b.post(ctx, s, l.TokenEndpoint, l, c, form)
	if err != nil {
		return nil, err
	}
	reply, err := readTokenReply(a)
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// reply is what a provider answered.
type reply struct {
	status    int
	mediaType string
	body      []byte
}

// post sends a form to an endpoint of a link's provider. An answer of any
// status is a reply. Redirects are not followed: what the form holds is for
// this endpoint alone. Errors are of type *tokenError.
func (b *Broker) post(ctx context.Context, s *Server, endpoint string, l link, c *client, form url.Values) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	// A connection that is made will be written to, perhaps after our context
	// has ended. What happened before it was made, the provider cannot know.
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	header := http.Header{}
	if err := b.authenticate(s.ID, l, c, header, form); err != nil {
		return nil, &tokenError{Failure: notSent, cause: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &tokenError{Failure: notSent, cause: errors.New("malformed endpoint")}
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := b.reach(s, req.URL).Do(req)
	if err != nil {
		if !connected.Load() {
			return nil, &tokenError{Failure: notSent, cause: transportError(err)}
		}
		return nil, &tokenError{Failure: noAnswer, cause: transportError(err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProviderReply+1))
	if err != nil && resp.StatusCode < http.StatusBadRequest {
		return nil, &tokenError{Failure: noAnswer, Status: resp.StatusCode, cause: transportError(err)}
	}
	return &reply{status: resp.StatusCode, mediaType: egress.MediaType(resp.Header), body: body}, nil
}
