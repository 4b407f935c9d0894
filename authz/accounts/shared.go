package accounts

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// closePatience is how long Close waits for the answers to refreshes: as
	// long as a provider may take, and a moment to store it. revokePatience is
	// how long it waits for revocations, which are sent again after a restart.
	closePatience  = client.RequestTimeout + 5*time.Second
	revokePatience = 5 * time.Second
)

// Shared is what all brokers of a process have in common that work on the same
// store: what they have cached of it, the place where those who need the same
// refresh meet, and what goes on in the background.
type Shared struct {
	connections *cache.Cache[storage.ConnectionKey, *cachedConnection]
	flights     singleflight.Group
	recent      recentStatuses
	attempts    attempts
	// Tell, unless nil, tells the other processes on the store of an Attempt.
	Tell atomic.Pointer[func(Attempt)]

	closing   chan struct{}
	closeOnce sync.Once
	// refreshes and revocations are under way.
	refreshes, revocations background
}

// NewShared returns one with nothing in it.
func NewShared() *Shared {
	return &Shared{connections: newConnectionCache(), closing: make(chan struct{})}
}

// Close ends what brokers do in the background and waits a moment for answers
// that are on their way: what a provider gave out must not be lost. It is
// called before the store is closed. Calls that need a provider fail afterwards.
func (sh *Shared) Close() {
	sh.closeOnce.Do(func() { close(sh.closing) })
	sh.refreshes.end(closePatience)
	sh.revocations.end(revokePatience) // what the last refreshes brought may have to be revoked
}

// Forget drops what is cached of a connection that changed. It is called after
// the store has committed the change.
func (sh *Shared) Forget(k storage.ConnectionKey) { sh.connections.Forget(k) }

// ForgetAll drops everything that is cached, when nobody knows what changed.
func (sh *Shared) ForgetAll() {
	sh.connections.ForgetWhere(func(storage.ConnectionKey, *cachedConnection) bool { return true })
}

// Stats tells how often the store was spared.
func (sh *Shared) Stats() cache.Stats { return sh.connections.Stats() }

// isClosing reports whether no new work should begin.
func (sh *Shared) isClosing() bool {
	select {
	case <-sh.closing:
		return true
	default:
		return false
	}
}

// pause waits, unless Close is called or the context ends before.
func (sh *Shared) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-sh.closing:
		return ErrUnavailable
	case <-ctx.Done():
		return ctx.Err()
	}
}

// background is work that Close waits for.
type background struct {
	sync.WaitGroup
	mu     sync.Mutex // guards closed, and Add against Wait
	closed bool
}

// begin announces work that Close has to wait for. It reports false once Close
// was called; else the work must end with Done.
func (w *background) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.Add(1)
	return true
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

// flightKey is the key in one string: no two keys have the same.
func flightKey(k storage.ConnectionKey) string {
	return strconv.Quote(k.Issuer) + strconv.Quote(k.Owner) + strconv.Quote(k.Server)
}
