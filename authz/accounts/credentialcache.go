package accounts

import (
	"context"
	"hash/maphash"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// cacheTTL is how long a cached credential is used without asking the store.
	cacheTTL = 5 * time.Second
	// cacheSize bounds how many connections are remembered.
	cacheSize = 1 << 16
	// closePatience is how long Close waits for the answers to refreshes: as
	// long as a provider may take, and a moment to store it. tellPatience is how
	// long it waits for revocations, which are sent again after a restart.
	closePatience = providerTimeout + 5*time.Second
	tellPatience  = 5 * time.Second
)

// Cache is the bounded memory of opened credentials in front of a store, and
// the place where those who need the same refresh meet. One Cache serves every
// broker of a process that works on the same store.
//
// An entry is fresh for at most 5 seconds, so that a change made elsewhere
// is noticed; one made in this process takes effect at once through Forget.
type Cache struct {
	seed    maphash.Seed
	shards  [64]cacheShard
	flights singleflight.Group
	recent  recentStatuses

	departures departures

	closing   chan struct{}
	closeOnce sync.Once
	// working are refreshes, telling are revocations.
	working, telling background
}

// background is work that Close waits for.
type background struct {
	sync.WaitGroup
	mu     sync.Mutex // guards closed, and Add against Wait
	closed bool
}

type cacheShard struct {
	mu      sync.RWMutex
	entries map[storage.ConnectionKey]*cachedConnection
	// forgotten counts calls of Forget that touched the shard. Who was reading
	// the store meanwhile may have read what the change was about to end, and
	// must not remember it.
	forgotten uint64
}

// NewCache returns an empty cache.
func NewCache() *Cache {
	c := &Cache{seed: maphash.MakeSeed(), closing: make(chan struct{})}
	for i := range c.shards {
		c.shards[i].entries = make(map[storage.ConnectionKey]*cachedConnection)
	}
	return c
}

// Forget drops what is known of a connection that changed. It is called after
// the store has committed the change.
func (c *Cache) Forget(k storage.ConnectionKey) {
	s := c.shard(k)
	s.mu.Lock()
	s.forgotten++
	delete(s.entries, k)
	s.mu.Unlock()
}

// drop removes an entry that turned out to be of no use.
func (c *Cache) drop(k storage.ConnectionKey) {
	s := c.shard(k)
	s.mu.Lock()
	delete(s.entries, k)
	s.mu.Unlock()
}

// Close ends what brokers do in the background and waits a moment for answers
// that are on their way: what a provider gave out must not be lost. It is
// called before the store is closed. Calls that need a provider fail afterwards.
func (c *Cache) Close() {
	c.closeOnce.Do(func() { close(c.closing) })
	c.working.end(closePatience)
	c.telling.end(tellPatience) // what the last refreshes brought may have to be revoked
}

// end keeps more work from beginning, and waits for what is running.
func (w *background) end(d time.Duration) {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	done := make(chan struct{})
	go func() { w.Wait(); close(done) }()
	patience := time.NewTimer(d)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
}

// isClosing reports whether no new work should begin.
func (c *Cache) isClosing() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// begin announces work that Close has to wait for. It reports false when the
// cache is closed; else the work must end with Done.
func (w *background) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.Add(1)
	return true
}

// pause waits, unless the cache is closed or the context ends before.
func (c *Cache) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.closing:
		return ErrUnavailable
	case <-ctx.Done():
		return ctx.Err()
	}
}

// get returns what is remembered, fresh or not, and the generation for put.
func (c *Cache) get(k storage.ConnectionKey) (h *cachedConnection, generation uint64) {
	s := c.shard(k)
	s.mu.RLock()
	h, generation = s.entries[k], s.forgotten
	s.mu.RUnlock()
	return h, generation
}

// put remembers h, unless a Forget came since the generation.
func (c *Cache) put(k storage.ConnectionKey, h *cachedConnection, generation uint64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgotten != generation {
		return
	}
	if _, replaces := s.entries[k]; !replaces && len(s.entries) >= cacheSize/len(c.shards) {
		s.makeRoom()
	}
	s.entries[k] = h
}

// replace remembers h after a change that led to it, as Forget and put in one.
func (c *Cache) replace(k storage.ConnectionKey, h *cachedConnection, generation uint64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, k)
	if s.forgotten == generation {
		s.entries[k] = h
	}
	s.forgotten++
}

// makeRoom drops the entry that was read longest ago among a few: one in use
// is read again every few seconds.
func (s *cacheShard) makeRoom() {
	var oldest storage.ConnectionKey
	var readAt time.Time
	sampled := 0
	for k, h := range s.entries {
		if sampled == 0 || h.readAt.Before(readAt) {
			oldest, readAt = k, h.readAt
		}
		if sampled++; sampled == 8 {
			break
		}
	}
	delete(s.entries, oldest)
}

func (c *Cache) shard(k storage.ConnectionKey) *cacheShard {
	return &c.shards[maphash.String(c.seed, k.Owner)%uint64(len(c.shards))]
}

// flightKey is the key in one string: no two keys have the same.
func flightKey(k storage.ConnectionKey) string {
	return strconv.Quote(k.Issuer) + strconv.Quote(k.Owner) + strconv.Quote(k.Server)
}
