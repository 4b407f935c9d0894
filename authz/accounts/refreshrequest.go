package accounts

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
)

// tryPauses stand between the tries of one refresh.
var tryPauses = []time.Duration{250 * time.Millisecond, time.Second}

// refreshParams says which optional parameters a refresh carries. The zero
// value is what suits most providers: scope is left out, which means the one
// that was granted (RFC 6749 section 6), and resource is there (RFC 8707
// section 2.2). Salesforce refuses scope, Entra does not do without it in
// every tenant, and some that take a resource elsewhere refuse it here.
type refreshParams struct {
	Scope      bool `json:"scope,omitempty"`
	NoResource bool `json:"no_resource,omitempty"`
}

// askForTokens asks for new tokens, and again in another way where the provider
// refused a parameter: a request that it found malformed used nothing up.
func (r *refresher) askForTokens(ctx context.Context, a *refreshAttempt) (*tokenReply, error) {
	reply, err := r.sendRefreshToken(ctx, a, a.opened.RefreshParams)
	var failure *tokenError
	if !errors.As(err, &failure) {
		return reply, err
	}
	for _, params := range a.otherParams(failure) {
		if r.leaseTooShort(a) {
			break
		}
		reply, err = r.sendRefreshToken(ctx, a, params)
		if err == nil {
			a.opened.RefreshParams = params // the next refresh begins with what worked
		}
		if !errors.As(err, &failure) || !failure.aboutParams() {
			break
		}
	}
	return reply, err
}

// sendRefreshToken sends the refresh token, and sends it again only if the
// provider said that it cannot answer just now, or was never reached; and not
// while there is something to lose.
func (r *refresher) sendRefreshToken(ctx context.Context, a *refreshAttempt, params refreshParams) (*tokenReply, error) {
	for try := 0; ; try++ {
		l, form := a.request(params)
		reply, err := r.b.requestToken(ctx, a.server, l, a.client, form)
		var failure *tokenError
		again := errors.As(err, &failure) && (failure.Failure == notSent || failure.Failure == unable)
		if !again || a.risky(failure, r.deps.Now()) || try == len(tryPauses) || r.pause(ctx, tryPauses[try]) != nil {
			return reply, err
		}
		if r.leaseTooShort(a) {
			return nil, err
		}
	}
}

// leaseTooShort reports whether the lease may be over before an answer comes:
// this process was held up.
func (r *refresher) leaseTooShort(a *refreshAttempt) bool {
	return r.deps.Now().Add(providerTimeout).After(a.connection.LeaseUntil)
}

// risky reports whether the refresh token must not be sent again for now: the
// provider may have replaced it, and the access token works.
func (a *refreshAttempt) risky(failure *tokenError, now time.Time) bool {
	return failure.mayHaveActed() && a.cached.works(now) && !a.reusable()
}

// request returns the form of a refresh, and the link to send it by.
func (a *refreshAttempt) request(params refreshParams) (link, url.Values) {
	l := a.opened.Link
	if params.NoResource {
		l.Resource = ""
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.opened.RefreshToken}}
	if params.Scope {
		// What was granted, never more (RFC 6749 section 6).
		form.Set("scope", strings.Join(a.connection.Scopes, a.server.scopeSeparator()))
	}
	return l, form
}

// otherParams returns what else to try after a refusal, each once.
func (a *refreshAttempt) otherParams(failure *tokenError) []refreshParams {
	if !failure.aboutParams() {
		return nil
	}
	var others []refreshParams
	if failure.Code != "invalid_target" && len(a.connection.Scopes) > 0 {
		other := a.opened.RefreshParams
		other.Scope = !other.Scope
		others = append(others, other)
	}
	if failure.Code != "invalid_scope" && a.opened.Link.Resource != "" {
		other := a.opened.RefreshParams
		other.NoResource = !other.NoResource
		others = append(others, other)
	}
	return others
}

// aboutParams reports whether the provider refused the request for what it was
// written with, and so did not look at the token.
func (e *tokenError) aboutParams() bool {
	return e.Failure == refused && (e.Code == "invalid_request" || e.Code == "invalid_scope" || e.Code == "invalid_target")
}
