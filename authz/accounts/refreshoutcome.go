package accounts

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// retryPause is how long a provider that could not answer is left alone.
const retryPause = 5 * time.Second

// refusedPatience is how long a provider may refuse to refresh a connection
// without a clear reason before its person is asked to connect again.
const refusedPatience = time.Hour

// tryPauses stand between the tries of one refresh, storePauses between those
// to store its result.
var (
	tryPauses   = []time.Duration{250 * time.Millisecond, time.Second}
	storePauses = []time.Duration{100 * time.Millisecond, time.Second}
)

// exchangeRefreshToken asks the provider for new tokens (RFC 6749 section 6)
// and settles the connection by its answer. The lease is held.
func (b *Broker) exchangeRefreshToken(ctx context.Context, r *refreshing) (*held, error) {
	reply, err := b.askForTokens(ctx, r)
	if err == nil {
		return b.keepRefreshed(ctx, r, reply)
	}
	var failure *tokenError
	if !errors.As(err, &failure) {
		return nil, err
	}
	state := b.stateAfter(r, failure)
	b.report(r, state, failure)
	if err := b.noteRefusal(ctx, r.server, r.opened.Link, failure); err != nil {
		return nil, err
	}
	h, err := b.settle(ctx, r, state)
	if err == nil && state == storage.Active {
		err = ErrUnavailable
	}
	return h, err
}

// askForTokens asks for new tokens, and again in another way where the provider
// refused a parameter: a request that it found malformed used nothing up.
func (b *Broker) askForTokens(ctx context.Context, r *refreshing) (*tokenReply, error) {
	reply, err := b.sendRefreshToken(ctx, r, r.opened.RefreshParams)
	var failure *tokenError
	if !errors.As(err, &failure) {
		return reply, err
	}
	for _, params := range r.otherParams(failure) {
		if b.leaseTooShort(r) {
			break
		}
		reply, err = b.sendRefreshToken(ctx, r, params)
		if err == nil {
			r.opened.RefreshParams = params // the next refresh begins with what worked
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
func (b *Broker) sendRefreshToken(ctx context.Context, r *refreshing, params refreshParams) (*tokenReply, error) {
	for try := 0; ; try++ {
		l, form := r.refreshRequest(params)
		reply, err := b.requestToken(ctx, r.server, l, r.client, form)
		var failure *tokenError
		again := errors.As(err, &failure) && (failure.Failure == notSent || failure.Failure == unable)
		if !again || r.risky(failure, b.deps.Now()) || try == len(tryPauses) || b.pause(ctx, tryPauses[try]) != nil {
			return reply, err
		}
		if b.leaseTooShort(r) {
			return nil, err
		}
	}
}

// risky reports whether the refresh token must not be sent again for now: the
// provider may have replaced it, and the access token works.
func (r *refreshing) risky(failure *tokenError, now time.Time) bool {
	return failure.mayHaveActed() && r.held.works(now) && !r.server.reusable(r.opened)
}

// uncount takes back that a try was counted if the provider, or what stands in
// front of it, did answer: it will once more.
func (r *refreshing) uncount(failure *tokenError) {
	if failure.Failure != noAnswer {
		r.c.Retries = max(0, r.c.Retries-1)
	}
}

// leaseTooShort reports whether the lease may be over before an answer comes:
// this process was held up.
func (b *Broker) leaseTooShort(r *refreshing) bool {
	return b.deps.Now().Add(providerTimeout).After(r.c.LeaseUntil)
}

// stateAfter decides what a failed refresh means for the connection. What was
// in doubt before stays so until the provider answers.
func (b *Broker) stateAfter(r *refreshing, failure *tokenError) storage.ConnectionState {
	r.uncount(failure)
	if failure.unclear() || failure.Code == "invalid_client" && (r.server.Client != nil || b.isDocument(r.server, r.opened.Link.ClientID)) {
		// A firewall, a page that moved, a registration that was forgotten, a
		// document of ours that could not be fetched, a secret that an operator
		// is about to change here too: not the token that is refused, as it
		// seems. If that lasts, connecting again may help.
		now := b.deps.Now()
		if r.c.RefusedSince.IsZero() {
			r.c.RefusedSince = now
		}
		if now.Sub(r.c.RefusedSince) >= refusedPatience {
			return storage.NeedsReauth
		}
		return r.c.State
	}
	switch {
	case failure.Failure == noAnswer && r.server.reusable(r.opened):
		return storage.Active
	case failure.mayHaveActed() && !r.server.reusable(r.opened):
		return storage.InDoubt
	case failure.Failure != refused || failure.forNow():
		return r.c.State
	}
	// Most often invalid_grant. Whatever it is, this token gets the same
	// answer again, and a new one may not.
	return storage.NeedsReauth
}

// keepRefreshed stores the new tokens. Until it has, nobody uses them: a
// refresh token that is lost while its access token works would end the
// connection later, for no visible reason.
func (b *Broker) keepRefreshed(ctx context.Context, r *refreshing, reply *tokenReply) (*held, error) {
	now := b.deps.Now()
	c, opened := r.c, r.opened
	opened.AccessToken, opened.IssuedAt = reply.AccessToken, now
	if reply.RefreshToken != "" {
		opened.RefreshToken = reply.RefreshToken
	} // else the old one stays good (RFC 6749 section 6)
	opened.Reusable = opened.RefreshToken == r.opened.RefreshToken
	c.State, c.Retries, c.RefusedSince = storage.Active, 0, time.Time{}
	if reply.Scopes != nil {
		c.Scopes = reply.Scopes
	}
	c.TokenExpiresAt = time.Time{}
	if reply.ExpiresIn > 0 {
		c.TokenExpiresAt = now.Add(reply.ExpiresIn)
	}
	c.UpdatedAt = now
	c.Secret = b.sealSecrets(c.ConnectionKey, c.ID, opened)
	stored, verdict, err := b.putRefreshed(ctx, c, now)
	if err != nil {
		return nil, err
	}
	// A commit whose confirmation was lost is met again as somebody's change.
	if verdict != storage.OK && !bytes.Equal(stored.Secret, c.Secret) {
		if stored.ID == "" {
			b.revokeUnkept(ctx, c, opened, true)
		}
		return b.overtaken(ctx, r, stored)
	}
	h := r.server.holdOpened(stored, opened, now)
	if r.refused != nil {
		h.keptUntil = now.Add(refusalPause)
	}
	b.deps.Cache.replace(c.ConnectionKey, h, r.ticket)
	return h, nil
}

// putRefreshed is patient with a store that fails: what it is given exists
// nowhere else.
func (b *Broker) putRefreshed(ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
	for try := 0; ; try++ {
		stored, verdict, err := b.deps.Store.PutConnection(ctx, c, now)
		if err == nil || try == len(storePauses) || b.pause(ctx, storePauses[try]) != nil {
			return stored, verdict, err
		}
	}
}

// settle stores the state that a connection has come to, and ends the lease.
func (b *Broker) settle(ctx context.Context, r *refreshing, state storage.ConnectionState) (*held, error) {
	now := b.deps.Now()
	c := r.c
	c.State, c.UpdatedAt = state, now
	stored, verdict, err := b.deps.Store.PutConnection(ctx, c, now)
	if err != nil {
		return nil, err
	}
	if verdict != storage.OK {
		return b.overtaken(ctx, r, stored)
	}
	h := newHeld(r.server, stored, now)
	switch state {
	case storage.Active:
		h = r.server.holdOpened(stored, r.opened, now)
		h.retryAt = now.Add(retryPause)
	case storage.InDoubt: // asked again when holdOpened says
		h = r.server.holdOpened(stored, r.opened, now)
	}
	b.deps.Cache.replace(c.ConnectionKey, h, r.ticket)
	return h, nil
}

// overtaken returns what somebody else made of the connection meanwhile: the
// person connected again, or ended it.
func (b *Broker) overtaken(ctx context.Context, r *refreshing, current storage.Connection) (*held, error) {
	b.deps.Cache.Forget(r.c.ConnectionKey)
	if current.ID == "" {
		return nil, ErrNotConnected
	}
	return b.hold(ctx, r.server, current, nil, b.deps.Now())
}
