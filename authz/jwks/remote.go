package jwks

import (
	"context"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const (
	// freshFor is how long keys are used without a look at their address: so long
	// a key verifies that was taken back there.
	freshFor = time.Hour
	// staleFor is how long they are used while their address does not answer.
	staleFor = 24 * time.Hour
	// refetchAfter is how often unknown keys are looked for. Anybody can name one.
	refetchAfter = time.Minute
	// retryAfter is how often a set is asked for that was never had.
	retryAfter   = time.Second
	fetchTimeout = 10 * time.Second
)

// Remote is the set of keys at an address. It is safe for concurrent use. Its
// fields do not change after the first use.
type Remote struct {
	Rules
	URL string
	// Fetch gets a document of at most limit bytes.
	Fetch func(ctx context.Context, url string, limit int64) (*egress.Document, error)
	Now   func() time.Time

	mu             sync.Mutex
	keys           []jose.JSONWebKey
	fetched, tried time.Time
	failure        error
	fetching       chan struct{} // closed at its end; nil for none
}

// Verify returns the payload that one of the keys has signed. The error is
// ErrSignature if none has, and else tells why there are no keys. Keys are
// fetched when there are none, when they are old, and when none has signed:
// whose they are may have replaced them.
func (r *Remote) Verify(ctx context.Context, jws *jose.JSONWebSignature) ([]byte, error) {
	keys, fetched := r.known()
	id := jws.Signatures[0].Header.KeyID
	if r.Now().Before(fetched.Add(freshFor)) {
		if payload, err := Verify(jws, ByID(keys, id)); err == nil {
			return payload, nil
		}
	}
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	keys, _ = r.known()
	return Verify(jws, ByID(keys, id))
}

func (r *Remote) known() ([]jose.JSONWebKey, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys, r.fetched
}

// refresh fetches the keys, unless that was done or tried just now. It fails only
// if there are no keys to go on with.
func (r *Remote) refresh(ctx context.Context) error {
	r.mu.Lock()
	pause := refetchAfter
	if r.keys == nil {
		pause = retryAfter
	}
	if r.fetching == nil && !r.Now().Before(r.tried.Add(pause)) {
		r.tried, r.fetching = r.Now(), make(chan struct{})
		// Whoever caused it may go away; others wait for it, too.
		go r.fetch(context.WithoutCancel(ctx), r.fetching)
	}
	fetching := r.fetching
	r.mu.Unlock()
	if fetching != nil {
		select {
		case <-fetching:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != nil && !r.Now().Before(r.fetched.Add(staleFor)) {
		return r.failure
	}
	return nil
}

func (r *Remote) fetch(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	keys, err := r.get(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure, r.fetching = err, nil
	if err == nil {
		r.keys, r.fetched = keys, r.Now()
	}
	close(done)
}

func (r *Remote) get(ctx context.Context) ([]jose.JSONWebKey, error) {
	doc, err := r.Fetch(ctx, r.URL, int64(r.MaxLen))
	if err != nil {
		return nil, err
	}
	return r.Parse(doc.Body)
}
