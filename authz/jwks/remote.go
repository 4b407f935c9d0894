package jwks

import (
	"context"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
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

	once sync.Once
	kept cache.Kept[[]jose.JSONWebKey]
}

func (r *Remote) keys() *cache.Kept[[]jose.JSONWebKey] {
	r.once.Do(func() {
		r.kept.Fetch, r.kept.Timeout, r.kept.Now = r.fetch, fetchTimeout, r.Now
		r.kept.Fresh, r.kept.Stale, r.kept.Pause, r.kept.Retry = freshFor, staleFor, refetchAfter, retryAfter
	})
	return &r.kept
}

func (r *Remote) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	doc, err := r.Fetch(ctx, r.URL, int64(r.MaxLen))
	if err != nil {
		return nil, err
	}
	return r.Parse(doc.Body)
}

// Verify returns the payload that one of the keys has signed. The error is
// ErrSignature if none has, and else tells why there are no keys. Keys are
// fetched when there are none, when they are old, and when none has signed:
// whose they are may have replaced them.
func (r *Remote) Verify(ctx context.Context, jws *jose.JSONWebSignature) ([]byte, error) {
	id := jws.Signatures[0].Header.KeyID
	if keys, fresh := r.keys().Peek(); fresh {
		if payload, err := Verify(jws, ByID(keys, id)); err == nil {
			return payload, nil
		}
	}
	keys, err := r.keys().Newer(ctx)
	if err != nil {
		return nil, err
	}
	return Verify(jws, ByID(keys, id))
}
