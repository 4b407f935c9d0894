package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Errors of Credential and Refused. Any other came from the store, or from the
// caller's context.
var (
	// ErrNotConnected: the owner has not connected the server.
	ErrNotConnected = errors.New("upstream: not connected")
	// ErrNeedsReauth: the owner's connection works no more; connecting again
	// is what helps.
	ErrNeedsReauth = errors.New("upstream: connect again")
	// ErrRefused: the server refuses the call, and as far as we know not the
	// credential. The connection is still good.
	ErrRefused = errors.New("upstream: the server refuses this call")
	// ErrUnavailable: the provider or the server does not answer at the moment.
	ErrUnavailable = errors.New("upstream: provider unavailable")
	// ErrDamaged: the stored credentials do not open. An operator has to look.
	ErrDamaged = errors.New("upstream: stored credentials do not open")
)

// Credential is what a call carries to its upstream. Callers share it and must
// not change it.
type Credential struct {
	// Epoch names the person's act of connecting that it came from. It is the
	// same after a refresh, and another one after connecting again.
	Epoch string
	// Headers are set on the request, in this order.
	Headers []CredentialHeader
	// Connection is the public handle of the connection.
	Connection string
	// Scopes are those that the provider gave.
	Scopes []string
}

// CredentialHeader is a header in canonical form and its value.
type CredentialHeader struct{ Name, Value string }

// vault gives calls the credentials of their people.
type vault struct {
	*site
	refresher *refresher
}

// Credential returns what the owner's calls to the server carry. The owner is
// the subject of the caller, also for a server that everybody shares one
// connection to.
//
// Tokens are refreshed ahead of their end, by one caller at a time; the others
// use the old one meanwhile, or wait if it is about to end.
func (v *vault) Credential(ctx context.Context, owner, server string) (*Credential, error) {
	s, k, err := v.connected(owner, server)
	if err != nil {
		return nil, err
	}
	now := v.deps.Now()
	h, err := v.lookUp(ctx, s, k, now)
	if err != nil {
		return nil, err
	}
	switch {
	case !h.due(now):
		return h.use(now)
	case now.Before(h.retryAt):
		if h.works(now) {
			return h.credential, nil
		}
		return nil, ErrUnavailable
	case !h.urgent(now):
		v.startRefresh(ctx, s, k, nil)
		return h.credential, nil
	}
	c, err := v.awaitRefresh(ctx, s, k, nil)
	if (errors.Is(err, ErrUnavailable) || storage.StaleFor(err) > 0) && h.works(now) {
		return h.credential, nil // refreshed it is only by who has told the store before
	}
	return c, err
}

// Refused is called when the upstream answered 401 to a call with c, and returns
// what to try instead, once: what somebody else got meanwhile, or else what
// one refresh yields. If there is nothing else to try, it is ErrRefused, or
// ErrNeedsReauth once provider or server have confirmed that c works no more:
// what a client sends can be what the 401 is about, so the call alone ends no
// connection.
func (v *vault) Refused(ctx context.Context, owner, server string, c *Credential) (*Credential, error) {
	s, k, err := v.connected(owner, server)
	if err != nil {
		return nil, err
	}
	now := v.deps.Now()
	h, _, _ := v.deps.Shared.connections.Get(k, now)
	if err := h.on401(c, now); err != nil {
		return nil, err
	}
	// Somebody else's flight may have begun before the refusal was known.
	for range 2 {
		fresh, err := v.awaitRefresh(ctx, s, k, c)
		if err != nil || !sameCredential(fresh, c) {
			return fresh, err
		}
	}
	return nil, ErrUnavailable
}

// EpochOf returns the Epoch of the credential that the owner's calls carry, "" if
// they carry none. It asks no provider, and knows of none while the store fails.
func (v *vault) EpochOf(ctx context.Context, owner, server string) string {
	s, k, err := v.connected(owner, server)
	if err != nil {
		return ""
	}
	h, err := v.lookUp(ctx, s, k, v.deps.Now())
	if err != nil || h.credential == nil {
		return ""
	}
	return h.credential.Epoch
}

// connected returns a server that can be connected, and whose connection a
// call by the owner uses.
func (v *vault) connected(owner, server string) (*config.Server, storage.ConnectionKey, error) {
	s := v.server(server)
	switch {
	case s == nil:
		return nil, storage.ConnectionKey{}, ErrNotConnected
	case s.Auth.Mode == config.OAuth:
		owner = storage.SharedOwner
	case !s.Auth.Mode.PerUser() || owner == "" || owner == storage.SharedOwner:
		return nil, storage.ConnectionKey{}, ErrNotConnected
	}
	return s, v.keyOf(owner, server), nil
}

// lookUp returns a connection as it is cached, if that is fresh, else as it is
// in the store. One that is cached as lost is read anew: a grant ends for it, and the
// person may have connected again at another process.
func (v *vault) lookUp(ctx context.Context, s *config.Server, k storage.ConnectionKey, now time.Time) (*cachedConnection, error) {
	h, fresh, generation := v.deps.Shared.connections.Get(k, now)
	if fresh && h.server == s && !h.isLost(now) {
		return h, nil
	}
	return v.read(ctx, s, k, h, generation, now)
}

// read asks the store for a connection and caches it. What was cached before
// spares decrypting it when the record is the same.
func (v *vault) read(ctx context.Context, s *config.Server, k storage.ConnectionKey, before *cachedConnection, generation uint64, now time.Time) (*cachedConnection, error) {
	c, err := v.deps.Store.Connection(ctx, k, now)
	if errors.Is(err, storage.ErrNotFound) {
		v.deps.Shared.connections.Drop(k)
		return nil, ErrNotConnected
	}
	if err != nil {
		return v.stale(s, k, now, err)
	}
	if before.isOf(s, c) {
		v.deps.Shared.connections.Put(k, before, now, generation)
		return before, nil
	}
	h, _, err := v.decrypt(s, c)
	if err != nil {
		v.deps.Shared.connections.Drop(k)
		return nil, err
	}
	v.deps.Shared.connections.Put(k, h, now, generation)
	return h, nil
}

// stale returns what was cached of a connection before the store failed, if it
// cannot be reached and allows that.
func (v *vault) stale(s *config.Server, k storage.ConnectionKey, now time.Time, err error) (*cachedConnection, error) {
	if h, ok := v.deps.Shared.connections.Stale(k, now, storage.StaleFor(err)); ok && h.server == s && !h.isLost(now) {
		return h, nil
	}
	return nil, err
}

// startRefresh refreshes in the background.
func (v *vault) startRefresh(ctx context.Context, s *config.Server, k storage.ConnectionKey, refused *Credential) <-chan singleflight.Result {
	return v.deps.Shared.flights.DoChan(flightKey(k), func() (any, error) {
		if !v.deps.Shared.refreshes.begin() {
			return nil, ErrUnavailable
		}
		defer v.deps.Shared.refreshes.Done()
		// Others wait for the result too, and it must not get lost: it does
		// not end with the call that began it.
		return v.refresher.refresh(context.WithoutCancel(ctx), s, k, refused)
	})
}

// awaitRefresh refreshes, or waits for the one who does.
func (v *vault) awaitRefresh(ctx context.Context, s *config.Server, k storage.ConnectionKey, refused *Credential) (*Credential, error) {
	select {
	case result := <-v.startRefresh(ctx, s, k, refused):
		if result.Err != nil {
			return nil, result.Err
		}
		h, now := result.Val.(*cachedConnection), v.deps.Now()
		if h.server != s { // somebody under another configuration did it
			_, _, generation := v.deps.Shared.connections.Get(k, now)
			if h, result.Err = v.read(ctx, s, k, nil, generation, now); result.Err != nil {
				return nil, result.Err
			}
		}
		return h.use(now)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// needsReauth says, for the log, in which state the connection is.
func needsReauth(state storage.ConnectionState) error {
	return fmt.Errorf("%w: %s", ErrNeedsReauth, state)
}

// sameCredential compares what upstreams see.
func sameCredential(a, b *Credential) bool {
	return a != nil && b != nil && slices.Equal(a.Headers, b.Headers)
}

func sameHeaderName(a, b string) bool {
	return http.CanonicalHeaderKey(a) == http.CanonicalHeaderKey(b)
}
