package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

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
	// credential. The connection stands.
	ErrRefused = errors.New("upstream: the server refuses this call")
	// ErrUnavailable: the provider or the server does not answer at the moment.
	ErrUnavailable = errors.New("upstream: provider unavailable")
	// ErrDamaged: the stored credentials do not open. An operator has to look.
	ErrDamaged = errors.New("upstream: stored credentials do not open")
)

// Credential is what a call carries to its upstream. Callers share it and must
// not change it.
type Credential struct {
	// Link names the person's act of connecting that it came from. It is the
	// same after a refresh, and another one after connecting again.
	Link string
	// Headers are set on the request, in this order.
	Headers []CredentialHeader
}

// CredentialHeader is a header in canonical form and its value.
type CredentialHeader struct{ Name, Value string }

// Credential returns what the owner's calls to the server carry. The owner is
// the subject of the caller, also for a server that everybody shares one
// connection to.
//
// Tokens are refreshed ahead of their end, by one caller at a time; the others
// use the old one meanwhile, or wait if it is about to end.
func (b *Broker) Credential(ctx context.Context, owner, server string) (*Credential, error) {
	s, k, err := b.connected(owner, server)
	if err != nil {
		return nil, err
	}
	now := b.deps.Now()
	h, ticket := b.deps.Cache.get(k)
	if !h.believed(s, now) {
		if h, err = b.read(ctx, s, k, h, ticket, now); err != nil {
			return nil, err
		}
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
		b.startRefresh(ctx, s, k, nil)
		return h.credential, nil
	}
	c, err := b.awaitRefresh(ctx, s, k, nil)
	if errors.Is(err, ErrUnavailable) && h.works(now) {
		return h.credential, nil
	}
	return c, err
}

// use returns the credential that there is no more to do about. One in doubt
// works until its end: only its refresh token may be spent.
func (h *held) use(now time.Time) (*Credential, error) {
	if h.credential != nil && (h.state == storage.Active || h.state == storage.InDoubt && h.works(now)) {
		return h.credential, nil
	}
	if !h.retryAt.IsZero() { // in doubt, and the provider will be asked again
		return nil, ErrUnavailable
	}
	return nil, needsReauth(h.state)
}

// needsReauth tells the log in which state the connection is.
func needsReauth(state storage.ConnectionState) error {
	return fmt.Errorf("%w: %s", ErrNeedsReauth, state)
}

// connected returns a server that can be connected, and whose connection a
// call by the owner uses.
func (b *Broker) connected(owner, server string) (*Server, storage.ConnectionKey, error) {
	s := b.servers[server]
	switch {
	case s == nil:
		return nil, storage.ConnectionKey{}, ErrNotConnected
	case s.Mode == OAuth:
		owner = storage.SharedOwner
	case !s.Mode.PerUser() || owner == "" || owner == storage.SharedOwner:
		return nil, storage.ConnectionKey{}, ErrNotConnected
	}
	return s, b.key(owner, s), nil
}

// read asks the store for a connection and remembers it.
func (b *Broker) read(ctx context.Context, s *Server, k storage.ConnectionKey, before *held, ticket uint64, now time.Time) (*held, error) {
	c, err := b.deps.Store.Connection(ctx, k, now)
	if errors.Is(err, storage.ErrNotFound) {
		b.deps.Cache.drop(k)
		return nil, ErrNotConnected
	}
	if err != nil {
		return nil, err
	}
	h, err := b.hold(ctx, s, c, before, now)
	if err != nil {
		b.deps.Cache.drop(k)
		return nil, err
	}
	b.deps.Cache.put(k, h, ticket)
	return h, nil
}

// sameCredential compares what upstreams see.
func sameCredential(a, b *Credential) bool {
	return a != nil && b != nil && slices.Equal(a.Headers, b.Headers)
}

func sameHeaderName(a, b string) bool {
	return http.CanonicalHeaderKey(a) == http.CanonicalHeaderKey(b)
}
