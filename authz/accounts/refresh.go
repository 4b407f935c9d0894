package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// leaseTime outlasts every try of one refresh. Who finds a lease that ran
	// out knows that its holder ended in the middle.
	leaseTime = time.Minute
	// leasePoll and maxLooks say how long a call waits for another instance.
	leasePoll = 200 * time.Millisecond
	maxLooks  = 75
)

// Reasons for the log why a connection ended.
var (
	errLeaseRanOut    = errors.New("whoever refreshed it ended before the answer was stored")
	errNoRefreshToken = errors.New("there is no refresh token to be used")
)

// A refresh token is worth one request: a provider that replaces it takes a
// second one for theft. So whoever refreshes holds two things: the flight,
// which all callers of this process share, and the lease, which is in the
// store before the request leaves.
//
//	answer                      connection afterwards
//	tokens                      active; stored before anybody uses them
//	refused for good            needs_reauth
//	cannot, or never reached    active; after three tries
//	sent, and no answer         in_doubt; see indoubt.go
//	the lease ran out           in_doubt; its holder ended in the middle
//
// Without a refresh token there is nothing to lease, and nobody to ask but the
// server itself: see confirm.

// refreshing is a connection that one caller looks at in order to refresh it.
type refreshing struct {
	server *Server
	c      storage.Connection
	opened secrets
	held   *held
	client *client
	// refused is the credential that the upstream refused, if that is why.
	refused *Credential
	// ticket is for what is remembered of the outcome.
	ticket uint64
}

// startRefresh refreshes in the background.
func (b *Broker) startRefresh(ctx context.Context, s *Server, k storage.ConnectionKey, refused *Credential) <-chan singleflight.Result {
	return b.deps.Cache.flights.DoChan(flightKey(k), func() (any, error) {
		if !b.deps.Cache.working.begin() {
			return nil, ErrUnavailable
		}
		defer b.deps.Cache.working.Done()
		// Others wait for the result too, and it must not get lost: it does
		// not end with the call that began it.
		return b.refresh(context.WithoutCancel(ctx), s, k, refused)
	})
}

// awaitRefresh refreshes, or waits for the one who does.
func (b *Broker) awaitRefresh(ctx context.Context, s *Server, k storage.ConnectionKey, refused *Credential) (*Credential, error) {
	select {
	case result := <-b.startRefresh(ctx, s, k, refused):
		if result.Err != nil {
			return nil, result.Err
		}
		h, now := result.Val.(*held), b.deps.Now()
		if h.server != s { // somebody under another configuration did it
			_, ticket := b.deps.Cache.get(k)
			if h, result.Err = b.read(ctx, s, k, nil, ticket, now); result.Err != nil {
				return nil, result.Err
			}
		}
		return h.use(now)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refresh returns the connection as it is after the refresh that it needs, if
// it still needs one.
func (b *Broker) refresh(ctx context.Context, s *Server, k storage.ConnectionKey, refused *Credential) (*held, error) {
	for range maxLooks {
		r, err := b.look(ctx, s, k, refused)
		if err != nil {
			return nil, err
		}
		if !r.needed(b.deps.Now()) {
			b.deps.Cache.put(k, r.held, r.ticket)
			return r.held, nil
		}
		if r.hopeless() {
			return b.giveUp(ctx, r, errNoRefreshToken)
		}
		if err := b.checkRetry(ctx, r); err != nil {
			return nil, err
		}
		if r.client, err = b.clientOf(ctx, s, r.opened.Link); errors.Is(err, errClientGone) {
			return b.giveUp(ctx, r, err)
		} else if err != nil {
			return nil, err
		}
		verdict, err := b.lease(ctx, r)
		switch {
		case err != nil:
			return nil, err
		case verdict == storage.OK:
			return b.exchangeRefreshToken(ctx, r)
		case verdict == storage.Unknown:
			return nil, ErrNotConnected
		case verdict == storage.Burned:
			b.report(r, storage.InDoubt, errLeaseRanOut)
			continue
		case verdict != storage.Repeated:
			continue // it changed
		case refused == nil && r.held.works(b.deps.Now()):
			return nil, ErrUnavailable // another instance is at it; the old token does meanwhile
		}
		if err := b.pause(ctx, leasePoll); err != nil {
			return nil, err
		}
	}
	return nil, ErrUnavailable
}

// look reads the connection from the store, whatever is remembered of it.
func (b *Broker) look(ctx context.Context, s *Server, k storage.ConnectionKey, refused *Credential) (*refreshing, error) {
	_, ticket := b.deps.Cache.get(k)
	now := b.deps.Now()
	c, err := b.deps.Store.Connection(ctx, k, now)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, ErrNotConnected
	}
	if err != nil {
		return nil, err
	}
	h, opened, err := b.openHeld(s, c, now)
	if err != nil {
		return nil, err
	}
	return &refreshing{server: s, c: c, opened: opened, held: h, refused: refused, ticket: ticket}, nil
}

// needed reports whether anything is left to do: others may have done it.
func (r *refreshing) needed(now time.Time) bool {
	if r.held.credential == nil {
		return false
	}
	return r.held.due(now) || sameCredential(r.held.credential, r.refused)
}

// hopeless reports whether the provider need not even be asked.
func (r *refreshing) hopeless() bool {
	return r.c.State != storage.Active && !mayRetry(r.c, r.opened) || r.opened.RefreshToken == ""
}

// lease makes this caller the one who refreshes, for everybody on the store.
func (b *Broker) lease(ctx context.Context, r *refreshing) (storage.Verdict, error) {
	now := b.deps.Now()
	c, verdict, err := b.deps.Store.LeaseConnection(ctx, r.c.ConnectionKey, r.c.Revision, uuid.NewString(), now.Add(leaseTime), now)
	if verdict == storage.OK {
		r.c = c
	}
	return verdict, err
}

// report logs what became of a connection. The error holds nothing that a
// provider wrote.
func (b *Broker) report(r *refreshing, state storage.ConnectionState, cause error) {
	b.log.Warn("a connection could not be refreshed", zap.String("server", r.c.Server), zap.String("connection", r.c.ID),
		zap.String("state", string(state)), zap.Error(cause))
}
