package authz

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const limiterShards = 16

// Limiter counts events per kind and key in bounded memory. When it is full,
// the key that was quiet for longest is forgotten.
//
// One Limiter serves a whole process: what it remembers survives a change of
// configuration.
type Limiter struct {
	now    func() time.Time
	seed   maphash.Seed
	shards [limiterShards]limiterShard
}

// limiterShard holds a bucket per kind and key. Only their hash is kept: keys
// are of any length, and the seed is random, so nobody can aim for a collision.
type limiterShard struct {
	mu      sync.Mutex
	buckets *lru[uint64, *rate.Limiter]
}

// NewLimiter returns a limiter that remembers at most size keys.
func NewLimiter(size int) *Limiter {
	l := &Limiter{now: time.Now, seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].buckets = newLRU[uint64, *rate.Limiter](size / limiterShards)
	}
	return l
}

// Allow reports whether one more event of this kind may happen for the key, at
// perMinute on average and as many at once. perMinute <= 0 always allows.
// An IPv6 address as key counts for its /64.
func (l *Limiter) Allow(kind, key string, perMinute int) bool {
	if perMinute <= 0 {
		return true
	}
	return l.with(kind, key, perMinute, (*rate.Limiter).AllowN)
}

// Exhausted reports whether Allow would refuse, and counts nothing.
func (l *Limiter) Exhausted(kind, key string, perMinute int) bool {
	if perMinute <= 0 {
		return false
	}
	return l.with(kind, key, perMinute, func(b *rate.Limiter, now time.Time, n int) bool {
		return b.TokensAt(now) < float64(n)
	})
}

// with asks the bucket of the kind and key.
func (l *Limiter) with(kind, key string, perMinute int, ask func(*rate.Limiter, time.Time, int) bool) bool {
	var h maphash.Hash
	h.SetSeed(l.seed)
	_, _ = h.WriteString(kind)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(addressBlock(key))
	sum := h.Sum64()
	return ask(l.shards[sum%limiterShards].bucket(sum, perMinute), l.now(), 1)
}

// bucket returns the bucket of the key, new and full if there was none.
func (s *limiterShard) bucket(key uint64, perMinute int) *rate.Limiter {
	limit := rate.Limit(float64(perMinute) / 60)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.buckets.get(key); ok {
		if b.Burst() != perMinute { // the operator changed the limit
			b.SetLimit(limit)
			b.SetBurst(perMinute)
		}
		return b
	}
	b := rate.NewLimiter(limit, perMinute)
	s.buckets.put(key, b)
	return b
}

// addressBlock returns what one subscriber holds around an IP address: the
// address itself, or the /64 of an IPv6 one. Other keys are returned as they are.
func addressBlock(key string) string {
	a, err := netip.ParseAddr(key)
	if err != nil {
		return key
	}
	a = a.Unmap()
	if a.Is4() {
		return a.String()
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return key
	}
	return p.String()
}
