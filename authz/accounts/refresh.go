package accounts

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// leaseTime outlasts every try of one refresh. Who finds a lease that ran
	// out knows that its holder ended in the middle.
	leaseTime = time.Minute
	// leasePoll and maxLoads say how long a call waits for another instance.
	leasePoll = 200 * time.Millisecond
	maxLoads  = 75
	// trustPause is how long a credential that was refreshed or confirmed after
	// a 401 is not asked about again: an upstream that refuses everything must
	// not become a flood at its provider, nor one at itself.
	trustPause = 30 * time.Second
)

// Reasons for the log why a connection ended.
var (
	errLeaseRanOut    = errors.New("the process that refreshed it ended before the answer was stored")
	errNoRefreshToken = errors.New("there is no refresh token to be used")
)

// refresher renews the tokens of connections, one at a time.
//
// A refresh token is worth one request: a provider that replaces it takes a
// second one for theft. So whoever refreshes holds two things: the flight,
// which all callers of this process share, and the lease, which is in the
// store before the request leaves. This file decides whether to ask the
// provider at all, refreshrequest.go asks it, and refreshoutcome.go decides by
// its answer what becomes of the connection.
//
// Without a refresh token there is nothing to lease, and nobody to ask but the
// server itself: see confirm.
type refresher struct {
	*site
	registrar *registrar
	revoker   *revoker
	// pause waits between tries.
	pause func(context.Context, time.Duration) error
}

// refreshAttempt is a connection that one caller looks at in order to refresh it.
type refreshAttempt struct {
	server     *config.Server
	connection storage.Connection
	opened     secrets
	cached     *cachedConnection
	client     *client.Credentials
	// refused is the credential that the upstream answered 401 to, if that is why.
	refused *Credential
	// readAt and generation are for caching the outcome.
	readAt     time.Time
	generation uint64
}

// refresh returns the connection as it is after the refresh that it needs, if
// it still needs one.
func (r *refresher) refresh(ctx context.Context, s *config.Server, k storage.ConnectionKey, refused *Credential) (*cachedConnection, error) {
	for range maxLoads {
		a, err := r.load(ctx, s, k, refused)
		if err != nil {
			return nil, err
		}
		if !a.needed(r.deps.Now()) {
			r.deps.Shared.connections.Put(k, a.cached, a.readAt, a.generation)
			return a.cached, nil
		}
		if !a.possible() {
			return r.fail(ctx, a, errNoRefreshToken)
		}
		if err := r.checkDoubt(ctx, a); err != nil {
			return nil, err
		}
		if a.client, err = r.registrar.clientOf(ctx, s, a.opened.Binding); errors.Is(err, errClientGone) {
			return r.fail(ctx, a, err)
		} else if err != nil {
			return nil, err
		}
		verdict, err := r.lease(ctx, a)
		switch {
		case err != nil:
			return nil, err
		case verdict == storage.OK:
			return r.exchange(ctx, a)
		case verdict == storage.Unknown:
			return nil, ErrNotConnected
		case verdict == storage.LeaseExpired:
			r.report(ctx, a, storage.InDoubt, errLeaseRanOut)
			continue
		case verdict != storage.LeaseHeld:
			continue // it changed
		case refused == nil && a.cached.works(r.deps.Now()):
			return nil, ErrUnavailable // another instance is at it; the old token does meanwhile
		}
		if err := r.pause(ctx, leasePoll); err != nil {
			return nil, err
		}
	}
	return nil, ErrUnavailable
}

// load reads the connection from the store, whatever is cached of it.
func (r *refresher) load(ctx context.Context, s *config.Server, k storage.ConnectionKey, refused *Credential) (*refreshAttempt, error) {
	now := r.deps.Now()
	_, _, generation := r.deps.Shared.connections.Get(k, now)
	c, err := r.deps.Store.Connection(ctx, k, now)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, ErrNotConnected
	}
	if err != nil {
		return nil, err
	}
	h, opened, err := r.decrypt(s, c)
	if err != nil {
		return nil, err
	}
	return &refreshAttempt{server: s, connection: c, opened: opened, cached: h, refused: refused, readAt: now, generation: generation}, nil
}

// needed reports whether anything is left to do: others may have done it.
func (a *refreshAttempt) needed(now time.Time) bool {
	if a.cached.credential == nil {
		return false
	}
	return a.cached.due(now) || sameCredential(a.cached.credential, a.refused)
}

// possible reports whether there is anything to ask the provider with.
func (a *refreshAttempt) possible() bool {
	return a.opened.RefreshToken != "" && (a.connection.State == storage.Active || mayRetry(a.connection, a.opened))
}

// reusable reports whether the provider takes the refresh token more than once.
func (a *refreshAttempt) reusable() bool { return reusable(a.server, a.opened) }

// lease makes this caller the one who refreshes, for everybody on the store.
func (r *refresher) lease(ctx context.Context, a *refreshAttempt) (storage.Verdict, error) {
	now := r.deps.Now()
	c, verdict, err := r.deps.Store.LeaseConnection(ctx, a.connection, uuid.NewString(), now.Add(leaseTime), now)
	if verdict == storage.OK {
		a.connection = c
	}
	return verdict, err
}

// checkDoubt returns nil unless the refresh token is kept back for now, as the
// connection is in doubt. An access token that may still work, but that the
// server refused to some call, is first confirmed to have ended.
func (r *refresher) checkDoubt(ctx context.Context, a *refreshAttempt) error {
	if a.connection.State != storage.InDoubt {
		return nil
	}
	now := r.deps.Now()
	if now.Before(a.cached.retryAt) {
		return ErrUnavailable
	}
	if a.cached.works(now) && !a.reusable() {
		return r.confirm(ctx, a)
	}
	return nil
}

// fail ends a connection that cannot be refreshed. One whose time is not over
// and that a server refused is first confirmed to work no more.
func (r *refresher) fail(ctx context.Context, a *refreshAttempt, cause error) (*cachedConnection, error) {
	if a.cached.works(r.deps.Now()) && sameCredential(a.cached.credential, a.refused) {
		if err := r.confirm(ctx, a); err != nil {
			return nil, err
		}
	}
	r.report(ctx, a, storage.NeedsReauth, cause)
	return r.saveState(ctx, a, storage.NeedsReauth)
}

// confirm asks the server itself about the credential that it refused to some
// call, by a request of our own that carries it. It returns nil if the server
// refuses that one too. The flight is held, and any other outcome cached, so
// that no number of refused calls makes many requests of it.
func (r *refresher) confirm(ctx context.Context, a *refreshAttempt) error {
	now := r.deps.Now()
	h, _, _ := r.deps.Shared.connections.Get(a.connection.ConnectionKey, now)
	if err := h.on401(a.refused, now); err != nil { // since this caller looked
		return err
	}
	k, err := r.verify(ctx, a.server, a.cached.credential.Headers)
	if err == nil && refuses(a.server, k) {
		return nil
	}
	trusted := *a.cached
	outcome := ErrRefused
	if err != nil || k.Unable() {
		outcome, trusted.retryAt = ErrUnavailable, r.deps.Now().Add(retryPause)
	} else {
		trusted.trustedUntil = r.deps.Now().Add(trustPause)
	}
	r.deps.Shared.connections.Put(a.connection.ConnectionKey, &trusted, a.readAt, a.generation)
	r.record(ctx, a.connection, event.Event{Kind: event.ConnectionDoubted, Err: outcome})
	return outcome
}

// refuses reports whether an answer to our own request is about its
// credential. A URL that is there to judge keys may say no in either way.
func refuses(s *config.Server, k *client.ProbeAnswer) bool {
	return k.Status == http.StatusUnauthorized || s.Auth.VerifyURL != "" && k.Status == http.StatusForbidden
}

// report records what became of a connection. The error holds nothing that a
// provider wrote.
func (r *refresher) report(ctx context.Context, a *refreshAttempt, state storage.ConnectionState, cause error) {
	kind := event.ConnectionRefreshFailed
	if state == storage.NeedsReauth {
		kind = event.ConnectionLost
	}
	r.record(ctx, a.connection, event.Event{Kind: kind, Reason: string(state), Err: cause})
}

// tryPauses are between the tries of one refresh.
var tryPauses = []time.Duration{250 * time.Millisecond, time.Second}

// askForTokens asks for new tokens, and again in another way where the provider
// refused a parameter: a request that it found malformed used nothing up.
func (r *refresher) askForTokens(ctx context.Context, a *refreshAttempt) (*client.Tokens, error) {
	reply, err := r.sendRefreshToken(ctx, a, a.opened.RefreshParams)
	var failure *client.TokenError
	if !errors.As(err, &failure) {
		return reply, err
	}
	for _, params := range a.opened.RefreshParams.Others(failure, a.connection.Scopes, a.opened.Binding.Resource) {
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
		reply, err := r.oauthClient(a.server).Refresh(ctx, a.opened.Binding.tokenEndpoint(), *a.client, a.opened.RefreshToken, a.connection.Scopes, params)
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
