package accounts

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// What the provider does decides what becomes of the connection:
//
//	answers with tokens             active; stored before anybody uses them
//	refuses for good                needs_reauth
//	cannot, or was never reached    as it was; after three tries
//	refuses for now, or unclearly   as it was; needs_reauth if that lasts
//	got it, and nothing came back   in_doubt
//	was being asked when its asker  in_doubt; who meets the lease that ran out
//	ended                           finds it (see refresh)
//
// A connection is in doubt when a refresh token was sent and no usable answer
// came: the provider may have replaced it, and may take it for stolen when it
// comes again. While the access token works, that could end it early, so the
// refresh token is kept back. Once it has ended there is nothing left to lose,
// and most often the provider has not seen the request: it is asked again, under
// the lease, until it answers. If it does not for about five minutes, the person
// is asked. A provider that does not replace refresh tokens can always be asked.

const (
	// retryPause is how long a provider that could not answer is left alone.
	retryPause = 5 * time.Second
	// refusedPatience is how long a provider may refuse to refresh a connection
	// without a clear reason before its person is asked to connect again.
	refusedPatience = time.Hour
	// maxRetries bounds how often a refresh token is sent again whose answer was
	// lost.
	maxRetries = 20
)

// storePauses are between the tries to store the tokens of a refresh.
var storePauses = []time.Duration{100 * time.Millisecond, time.Second}

// mayRetry reports whether a connection is in doubt and its refresh token may
// be sent again sooner or later.
func mayRetry(c storage.Connection, opened secrets) bool {
	return c.State == storage.InDoubt && opened.RefreshToken != "" && c.Retries < maxRetries
}

// retryAt is when the provider is asked next. The pauses grow from 5 to 25
// seconds: an outage of half a minute costs nobody more than it lasted.
func retryAt(c storage.Connection) time.Time {
	return c.UpdatedAt.Add(retryPause * time.Duration(1+c.Retries/4))
}

// reusable reports whether the provider takes the refresh token more than once.
func reusable(s *config.Server, opened secrets) bool {
	return opened.Reusable || s.Auth.Quirks.NoRefreshRotation
}

// exchange asks the provider for new tokens (RFC 6749 section 6) and stores
// what became of the connection by its answer. The lease is held.
func (r *refresher) exchange(ctx context.Context, a *refreshAttempt) (*cachedConnection, error) {
	reply, err := r.askForTokens(ctx, a)
	if err == nil {
		h, err := r.saveTokens(ctx, a, reply)
		if err == nil {
			r.record(ctx, a.connection, event.Event{Kind: event.ConnectionRefreshed})
		}
		return h, err
	}
	var failure *client.TokenError
	if !errors.As(err, &failure) {
		return nil, err
	}
	state := a.stateAfter(failure, r.mayBeOurFault(a), r.deps.Now())
	r.report(ctx, a, state, failure)
	if err := r.registrar.noteRefusal(ctx, a.server, a.opened.Binding, failure); err != nil {
		return nil, err
	}
	h, err := r.saveState(ctx, a, state)
	if err == nil && state == storage.Active {
		err = ErrUnavailable
	}
	return h, err
}

// mayBeOurFault reports whether a provider that refuses the client may know it
// again soon: a document of ours that could not be fetched, or a client whose
// secret the operator is about to change here too.
func (r *refresher) mayBeOurFault(a *refreshAttempt) bool {
	return a.server.Auth.ClientID != "" || r.isDocument(a.server, a.opened.Binding.ClientID)
}

// stateAfter decides what a failed refresh means for the connection, and counts
// it there. What was in doubt before stays so until the provider answers.
func (a *refreshAttempt) stateAfter(failure *client.TokenError, clientMayReturn bool, now time.Time) storage.ConnectionState {
	c := &a.connection
	if failure.Failure != client.NoAnswer {
		// The provider, or what stands in front of it, did answer, and will once
		// more: the try that the lease counted was none in vain.
		c.Retries = max(0, c.Retries-1)
	}
	switch {
	case failure.Unclear() || failure.Code == "invalid_client" && clientMayReturn:
		// A firewall, a page that moved, a registration that was forgotten: not
		// the token that is refused, as it seems. If that lasts, connecting again
		// may help.
		if c.RefusedSince.IsZero() {
			c.RefusedSince = now
		}
		if now.Sub(c.RefusedSince) >= refusedPatience {
			return storage.NeedsReauth
		}
		return c.State
	case failure.Failure == client.NoAnswer && a.reusable():
		return storage.Active
	case failure.MayHaveActed() && !a.reusable():
		return storage.InDoubt
	case failure.Failure != client.Refused || failure.Temporary():
		return c.State
	}
	// Most often invalid_grant. Whatever it is, this token gets the same
	// answer again, and a new one may not.
	return storage.NeedsReauth
}

// saveTokens stores the new tokens. Until it has, nobody uses them: a
// refresh token that is lost while its access token works would end the
// connection later, for no visible reason.
func (r *refresher) saveTokens(ctx context.Context, a *refreshAttempt, reply *client.Tokens) (*cachedConnection, error) {
	now := r.deps.Now()
	c, opened := a.connection, a.opened
	opened.AccessToken, opened.IssuedAt = reply.AccessToken, now
	if reply.RefreshToken != "" {
		opened.RefreshToken = reply.RefreshToken
	} // else the old one stays good (RFC 6749 section 6)
	opened.Reusable = opened.RefreshToken == a.opened.RefreshToken
	c.State, c.Retries, c.RefusedSince = storage.Active, 0, time.Time{}
	if reply.Scopes != nil {
		c.Scopes = reply.Scopes
	}
	c.TokenExpiresAt = time.Time{}
	if reply.ExpiresIn > 0 {
		c.TokenExpiresAt = now.Add(reply.ExpiresIn)
	}
	c.UpdatedAt = now
	c.Secret = r.sealSecrets(c.ConnectionKey, c.ID, opened)
	stored, verdict, err := r.putPatiently(ctx, c, now)
	if err != nil {
		return nil, err
	}
	// A commit whose confirmation was lost is met again as somebody's change.
	if verdict != storage.OK && !bytes.Equal(stored.Secret, c.Secret) {
		if stored.ID == "" {
			r.revoker.revokeUnsaved(ctx, c, opened, true)
		}
		return r.overtaken(a, stored)
	}
	h := cacheConnection(a.server, stored, opened)
	if a.refused != nil {
		h.trustedUntil = now.Add(trustPause)
	}
	r.deps.Shared.connections.Replace(c.ConnectionKey, h, now, a.generation)
	return h, nil
}

// putPatiently stores tokens that exist nowhere else, also in a store that
// fails now and then.
func (r *refresher) putPatiently(ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
	for try := 0; ; try++ {
		stored, verdict, err := r.deps.Store.PutConnection(ctx, c, now)
		if err == nil || try == len(storePauses) || r.pause(ctx, storePauses[try]) != nil {
			return stored, verdict, err
		}
	}
}

// saveState stores the state that a connection has come to, and ends the lease.
func (r *refresher) saveState(ctx context.Context, a *refreshAttempt, state storage.ConnectionState) (*cachedConnection, error) {
	now := r.deps.Now()
	c := a.connection
	c.State, c.UpdatedAt = state, now
	stored, verdict, err := r.deps.Store.PutConnection(ctx, c, now)
	if err != nil {
		return nil, err
	}
	if verdict != storage.OK {
		return r.overtaken(a, stored)
	}
	h := newCachedConnection(a.server, stored)
	switch state {
	case storage.Active:
		h = cacheConnection(a.server, stored, a.opened)
		h.retryAt = now.Add(retryPause)
	case storage.InDoubt: // asked again when cacheConnection says
		h = cacheConnection(a.server, stored, a.opened)
	}
	r.deps.Shared.connections.Replace(c.ConnectionKey, h, now, a.generation)
	return h, nil
}

// overtaken returns what somebody else made of the connection meanwhile: the
// person connected again, or ended it.
func (r *refresher) overtaken(a *refreshAttempt, current storage.Connection) (*cachedConnection, error) {
	r.deps.Shared.Forget(a.connection.ConnectionKey)
	if current.ID == "" {
		return nil, ErrNotConnected
	}
	h, _, err := r.decrypt(a.server, current)
	return h, err
}
