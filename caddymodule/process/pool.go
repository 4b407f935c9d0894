package process

import (
	"context"
	"sync"
	"sync/atomic"
)

// Pool has what configurations share that name it by the same key. Caddy starts a new
// configuration before it stops the old one: the first that wants it has it opened, any
// other joins, even while that takes long, and the last that leaves has it closed.
type Pool[V interface{ Destruct() error }] struct {
	mu     sync.Mutex
	shared map[string]*Shared[V]
}

// Shared is what a key of a Pool names.
type Shared[V interface{ Destruct() error }] struct {
	pool    *Pool[V]
	key     string
	users   int                // guarded by the pool
	abandon context.CancelFunc // when nobody wants it any more
	percent atomic.Int64       // of the opening
	told    sync.Once
	slow    chan struct{} // closed when the opening turns out to take long
	opened  bool          // guarded by the pool
	done    chan struct{} // closed when the opening has ended, after which both below are set
	value   V
	err     error
}

// Open opens what is shared. It may call progress, and often from then on. Its context
// ends when no configuration wants it any more.
type Open[V any] func(ctx context.Context, progress func(percent int64)) (V, error)

// NewPool returns an empty pool.
func NewPool[V interface{ Destruct() error }]() *Pool[V] {
	return &Pool[V]{shared: map[string]*Shared[V]{}}
}

// Join returns what the key names, and begins to open it unless that was begun. Who has
// joined calls Leave, whatever became of it. After a failure, Join tries again.
func (p *Pool[V]) Join(key string, open Open[V]) *Shared[V] {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.shared[key]
	if before != nil && before.users > 0 {
		before.users++
		return before
	}
	ctx, abandon := context.WithCancel(context.Background())
	s := &Shared[V]{pool: p, key: key, users: 1, abandon: abandon, slow: make(chan struct{}), done: make(chan struct{})}
	p.shared[key] = s
	go func() {
		if before != nil { // nobody wants it any more, which who opens it has not noticed
			select {
			case <-before.slow:
				s.progress(before.Percent())
			case <-before.done:
			}
			<-before.done
		}
		s.open(ctx, open)
	}()
	return s
}

// Users counts who has joined and not left.
func (p *Pool[V]) Users(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.shared[key]; s != nil {
		return s.users
	}
	return 0
}

func (s *Shared[V]) open(ctx context.Context, open Open[V]) {
	defer close(s.done)
	if s.err = ctx.Err(); s.err == nil {
		s.value, s.err = open(ctx, s.progress)
	}
	s.pool.mu.Lock()
	s.opened = s.err == nil && s.users > 0
	if !s.opened {
		s.forget()
	}
	s.pool.mu.Unlock()
	if s.err == nil && !s.opened {
		s.err = s.value.Destruct()
	}
}

// forget is called with the lock of the pool.
func (s *Shared[V]) forget() {
	if s.pool.shared[s.key] == s {
		delete(s.pool.shared, s.key)
	}
}

func (s *Shared[V]) progress(percent int64) {
	s.percent.Store(percent)
	s.told.Do(func() { close(s.slow) })
}

// Percent tells how far the opening is.
func (s *Shared[V]) Percent() int64 { return s.percent.Load() }

// Wait returns what is shared when it is open, and calls slow if that takes long.
func (s *Shared[V]) Wait(ctx context.Context, slow func()) (V, error) {
	for takesLong := s.slow; ; {
		select {
		case <-s.done:
			return s.value, s.err
		default:
		}
		select {
		case <-s.done:
		case <-takesLong:
			slow()
			takesLong = nil
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
	}
}

// Leave lets go of what is shared. The last to leave closes it, or ends its opening.
func (s *Shared[V]) Leave() error {
	s.pool.mu.Lock()
	s.users--
	last, opened := s.users == 0, s.opened
	if last && opened {
		s.forget()
	}
	s.pool.mu.Unlock()
	if !last {
		return nil
	}
	s.abandon()
	if !opened {
		return nil
	}
	return s.value.Destruct()
}
