package cache

import (
	"context"
	"sync"
	"time"
)

// Kept is a value that is fetched from somewhere else, and kept. It is safe for
// concurrent use; its fields do not change after the first use. However many ask
// for it, and however often, it is fetched once at a time and with pauses.
type Kept[T any] struct {
	// Fetch gets the value, in at most Timeout.
	Fetch   func(context.Context) (T, error)
	Timeout time.Duration
	Now     func() time.Time
	// Fresh is how long the value is good without another look, and Stale while
	// looking fails.
	Fresh, Stale time.Duration
	// Pause is how long nobody looks after somebody did. Retry is the same as long
	// as there was never a value.
	Pause, Retry time.Duration

	mu             sync.Mutex
	has            bool
	value          T
	fetched, tried time.Time
	failure        error         // of the last look; nil if it succeeded
	fetching       chan struct{} // closed at its end; nil for none
}

// Peek returns the value if it is there and fresh.
func (k *Kept[T]) Peek() (T, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.value, k.has && k.Now().Before(k.fetched.Add(k.Fresh))
}

// Last returns the value that was fetched last, if there is one.
func (k *Kept[T]) Last() (value T, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.value, k.has
}

// Get returns the value, which it fetches if it is not there or not fresh.
func (k *Kept[T]) Get(ctx context.Context) (T, error) {
	if value, fresh := k.Peek(); fresh {
		return value, nil
	}
	return k.Newer(ctx)
}

// Newer fetches the value, unless that was done or tried just now, and returns
// what there is then. It fails if that is nothing, or too old.
func (k *Kept[T]) Newer(ctx context.Context) (T, error) {
	if fetching := k.start(ctx); fetching != nil {
		select {
		case <-fetching:
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failure != nil && !(k.has && k.Now().Before(k.fetched.Add(k.Stale))) {
		var none T
		return none, k.failure
	}
	return k.value, nil
}

// start returns what ends when the fetching does, or nil if nobody is to fetch.
func (k *Kept[T]) start(ctx context.Context) (fetching chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pause := k.Pause
	if !k.has {
		pause = k.Retry
	}
	if k.fetching == nil && !k.Now().Before(k.tried.Add(pause)) {
		k.tried, k.fetching = k.Now(), make(chan struct{})
		// Whoever caused it may go away; others wait for it, too.
		go k.fetch(context.WithoutCancel(ctx), k.fetching)
	}
	return k.fetching
}

func (k *Kept[T]) fetch(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	value, err := k.Fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failure, k.fetching = err, nil
	if err == nil {
		k.has, k.value, k.fetched = true, value, k.Now()
	}
	close(done)
}
