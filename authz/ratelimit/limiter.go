package ratelimit

import (
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
)

// Limiter counts events per kind and key in bounded memory. Each kind has
// memory of its own, so that no flood of one can make another be forgotten;
// when it is full, the key that was quiet for longest is forgotten. Kinds are
// fixed names of the code, and a key is never what its sender can vary freely.
//
// One Limiter serves a whole process: what it remembers survives a change of
// configuration.
type Limiter struct {
	*memory
	// shared is nil unless processes share the store.
	shared *shared
}

// memory is what a limiter remembers.
type memory struct {
	// Now may be replaced by tests.
	Now  func() time.Time
	seed maphash.Seed
	size int // of each kind

	mu    sync.Mutex // guards kinds
	kinds map[string]*buckets
}

// buckets are those of one kind, by the hash of their key: keys are of any
// length, and the seed is random, so nobody can aim for a collision.
type buckets struct {
	mu    sync.Mutex
	byKey *cache.LRU[uint64, *rate.Limiter]
}

// limit is how many events per minute one key may have, and as many at once.
type limit struct {
	key       uint64
	perMinute int
}

// New returns a limiter that remembers at most size keys of each kind.
func New(size int) *Limiter {
	return &Limiter{memory: &memory{Now: time.Now, seed: maphash.MakeSeed(), size: size, kinds: map[string]*buckets{}}}
}

// Allow reports whether one more event of this kind may happen for the key, at
// perMinute on average and as many at once, and counts it if so. perMinute <= 0
// always allows.
//
// An IP address as key counts for the blocks around it too, each with a larger
// limit (see addressLevel): whoever holds many addresses gets little more than
// others. What is refused for one block is not counted for any, so that a
// single sender cannot use up what its neighbours have.
func (l *Limiter) Allow(kind, key string, perMinute int) bool {
	return l.AllowFor(kind, key, "", perMinute)
}

// AllowFor is Allow for an address together with what it asks for, such as a
// client: another address cannot use up its limit, nor the same address that
// of another client.
func (l *Limiter) AllowFor(kind, address, what string, perMinute int) bool {
	if perMinute <= 0 {
		return true
	}
	var room [3]limit
	limits := l.limits(room[:0], address, what, perMinute)
	b, now := l.bucketsOf(kind), l.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.exhausted(limits, now) {
		return false
	}
	for _, each := range limits {
		b.bucket(each).AllowN(now, 1)
	}
	return true
}

// Exhausted reports whether Allow would refuse, and counts nothing.
func (l *Limiter) Exhausted(kind, key string, perMinute int) bool {
	if perMinute <= 0 {
		return false
	}
	var room [3]limit
	limits := l.limits(room[:0], key, "", perMinute)
	b := l.bucketsOf(kind)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.exhausted(limits, l.Now())
}

func (l *Limiter) bucketsOf(kind string) *buckets {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.kinds[kind]
	if b == nil {
		b = &buckets{byKey: cache.NewLRU[uint64, *rate.Limiter](l.size)}
		l.kinds[kind] = b
	}
	return b
}

// limits appends the limits of a key.
func (l *Limiter) limits(to []limit, key, what string, perMinute int) []limit {
	a, levels := parseAddress(key)
	if levels == nil {
		return append(to, limit{l.hash(key, what), perMinute})
	}
	for _, level := range levels {
		to = append(to, limit{l.hash(blockOf(a, level), what), level.times * perMinute})
	}
	return to
}

func (l *Limiter) hash(key, what string) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	_, _ = h.WriteString(key)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(what)
	return h.Sum64()
}

// exhausted reports whether one of the limits is reached. It makes no buckets:
// a block whose own limit is reached must not fill the memory with the
// addresses in it.
func (b *buckets) exhausted(limits []limit, now time.Time) bool {
	for _, each := range limits {
		if _, known := b.byKey.Get(each.key); known && b.bucket(each).TokensAt(now) < 1 {
			return true
		}
	}
	return false
}

// bucket returns the bucket of a limit, new and full if there was none.
func (b *buckets) bucket(l limit) *rate.Limiter {
	perSecond := rate.Limit(float64(l.perMinute) / 60)
	if known, ok := b.byKey.Get(l.key); ok {
		if known.Burst() != l.perMinute { // the operator changed the limit
			known.SetLimit(perSecond)
			known.SetBurst(l.perMinute)
		}
		return known
	}
	fresh := rate.NewLimiter(perSecond, l.perMinute)
	b.byKey.Put(l.key, fresh)
	return fresh
}
