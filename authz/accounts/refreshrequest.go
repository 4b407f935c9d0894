package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
)

// tryPauses stand between the tries of one refresh.
var tryPauses = []time.Duration{250 * time.Millisecond, time.Second}

// askForTokens asks for new tokens, and again in another way where the provider
// refused a parameter: a request that it found malformed used nothing up.
func (r *refresher) askForTokens(ctx context.Context, a *refreshAttempt) (*client.Tokens, error) {
	reply, err := r.sendRefreshToken(ctx, a, a.opened.RefreshParams)
	var failure *client.TokenError
	if !errors.As(err, &failure) {
		return reply, err
	}
	for _, params := range a.opened.RefreshParams.Others(failure, a.connection.Scopes, a.opened.Link.Resource) {
		if r.leaseTooShort(a) {
			break
		}
		reply, err = r.sendRefreshToken(ctx, a, params)
		if err == nil {
			a.opened.RefreshParams = params // the next refresh begins with what worked
		}
		if !errors.As(err, &failure) || !failure.AboutParams() {
			break
		}
	}
	return reply, err
}

// sendRefreshToken sends the refresh token, and sends it again only if the
// provider said that it cannot answer just now, or was never reached; and not
// while there is something to lose.
func (r *refresher) sendRefreshToken(ctx context.Context, a *refreshAttempt, params client.RefreshParams) (*client.Tokens, error) {
	for try := 0; ; try++ {
		reply, err := r.oauthClient(a.server).Refresh(ctx, a.opened.Link.tokenEndpoint(), *a.client, a.opened.RefreshToken, a.connection.Scopes, params)
		var failure *client.TokenError
		again := errors.As(err, &failure) && (failure.Failure == client.NotSent || failure.Failure == client.Unable)
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
	return r.deps.Now().Add(client.RequestTimeout).After(a.connection.LeaseUntil)
}

// risky reports whether the refresh token must not be sent again for now: the
// provider may have replaced it, and the access token works.
func (a *refreshAttempt) risky(failure *client.TokenError, now time.Time) bool {
	return failure.MayHaveActed() && a.cached.works(now) && !a.reusable()
}
