package clients

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const (
	maxDocuments = 1024
	maxKeySets   = 256

	firstBackOff = 2 * time.Second
	maxBackOff   = time.Minute
)

// DocumentCache holds what was found at the addresses that unknown clients
// named: metadata documents of clients, and their keys. One serves a whole
// process: a change of configuration must not send every client to be fetched
// again.
type DocumentCache struct {
	// Resolves reports whether a name has an address. It may be replaced by tests.
	Resolves func(context.Context, *egress.Client, string) bool

	downloads *downloads
	outages   *outages
	clients   *documentCache[*Client]
	keySets   *documentCache[[]jose.JSONWebKey]
}

// NewDocumentCache returns an empty cache.
func NewDocumentCache() *DocumentCache {
	return &DocumentCache{
		Resolves:  func(ctx context.Context, c *egress.Client, name string) bool { return c.Resolves(ctx, name) },
		downloads: newDownloads(),
		outages:   newOutages(),
		clients:   newDocumentCache[*Client](maxDocuments),
		keySets:   newDocumentCache[[]jose.JSONWebKey](maxKeySets),
	}
}

// documentCache holds parsed documents of one kind. It keeps valid documents
// only, for as long as their HTTP cache headers say, between a minute and a
// day. A failure is never remembered as an answer; it only delays the next
// fetch, from the second failure in a row on. While a host does not answer,
// what it last said stays valid, up to a day.
type documentCache[T any] struct {
	mu       sync.Mutex
	valid    *twoTierLRU[T]
	failures *cache.LRU[documentKey, fetchFailures]
	flight   singleflight.Group
}

// documentKey names a document as those see it who fetch and read it by the
// same rules. What one site may reach or accept is thereby never taken for
// what another may.
type documentKey struct {
	rules, url string
}

type cachedDocument[T any] struct {
	value            T
	fetched, expires time.Time
}

// usable reports whether the document is fresh, and was fetched after a moment
// or so recently that it is not asked for again.
func (d cachedDocument[T]) usable(now, after time.Time) bool {
	return now.Before(d.expires) && (d.fetched.After(after) || now.Before(d.fetched.Add(minFresh)))
}

type fetchFailures struct {
	inARow  int
	retryAt time.Time
}

func newDocumentCache[T any](size int) *documentCache[T] {
	return &documentCache[T]{
		valid: newTwoTierLRU[T](size), failures: cache.NewLRU[documentKey, fetchFailures](size),
	}
}

// look returns the document, fresh or not, if it was ever valid, and when it
// may be fetched next.
func (c *documentCache[T]) look(key documentKey) (d cachedDocument[T], ok bool, retryAt time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok = c.valid.get(key)
	f, _ := c.failures.Get(key)
	return d, ok, f.retryAt
}

// use notes that the document is of a client that somebody let in, or an
// operator knows.
func (c *documentCache[T]) use(key documentKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.valid.use(key)
}

// fetched notes a valid document.
func (c *documentCache[T]) fetched(key documentKey, value T, now time.Time, fresh time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures.Remove(key)
	c.valid.put(key, cachedDocument[T]{value: value, fetched: now, expires: now.Add(fresh)})
}

// failed notes a fetch in vain. The first one delays nothing: a client that
// mends its document need not wait. A document that is still fresh stays:
// anybody can cause an early fetch of keys, but must not end the use of good
// ones.
func (c *documentCache[T]) failed(key documentKey, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, _ := c.failures.Get(key)
	f.inARow++
	if f.inARow > 1 {
		f.retryAt = now.Add(min(firstBackOff<<min(f.inARow-2, 10), maxBackOff))
	}
	c.failures.Put(key, f)
}

// keep returns the document that a fetch did not replace because its host had
// no answer (RFC 9111 section 4.2.4): whoever depends on it would otherwise
// lose their sign-ins to an outage elsewhere. It returns the failure where
// there is none to keep.
func (c *documentCache[T]) keep(key documentKey, failure error, now time.Time) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.valid.get(key)
	if !ok || !errors.Is(failure, egress.ErrUnavailable) || !now.Before(d.fetched.Add(maxFresh)) {
		var none T
		return none, failure
	}
	if until := now.Add(minFresh); d.expires.Before(until) {
		d.expires = until
		c.valid.put(key, d)
	}
	return d.value, nil
}

// twoTierLRU remembers documents by name, in bounded memory: those of clients
// that people let in apart from the others. Anybody can publish as many good
// ones as they like, and evict only those of the others.
type twoTierLRU[T any] struct {
	inUse, others *cache.LRU[documentKey, cachedDocument[T]]
}

// newTwoTierLRU returns a memory of at most size documents of each sort.
func newTwoTierLRU[T any](size int) *twoTierLRU[T] {
	return &twoTierLRU[T]{inUse: cache.NewLRU[documentKey, cachedDocument[T]](size), others: cache.NewLRU[documentKey, cachedDocument[T]](size)}
}

func (m *twoTierLRU[T]) get(key documentKey) (cachedDocument[T], bool) {
	if d, ok := m.inUse.Get(key); ok {
		return d, true
	}
	return m.others.Get(key)
}

func (m *twoTierLRU[T]) put(key documentKey, d cachedDocument[T]) {
	if _, used := m.inUse.Get(key); used {
		m.inUse.Put(key, d)
		return
	}
	m.others.Put(key, d)
}

// use notes that a document is of a client that somebody let in.
func (m *twoTierLRU[T]) use(key documentKey) {
	if d, ok := m.others.Get(key); ok {
		m.others.Remove(key)
		m.inUse.Put(key, d)
	}
}
