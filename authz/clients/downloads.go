package clients

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// downloadsAtOnce bounds the documents that are fetched at the same time, in
// the whole process.
const downloadsAtOnce = 32

// errBusy is one more way for a document not to be had right now.
var errBusy = fmt.Errorf("%w: too many are being fetched", egress.ErrUnavailable)

// downloads bounds how much is fetched at once. Known documents have places
// of their own: hosts that answer slowly, on purpose, hold up unknown clients only.
type downloads struct {
	unknown, known *places
}

func newDownloads() *downloads {
	return &downloads{unknown: newPlaces(downloadsAtOnce), known: newPlaces(downloadsAtOnce)}
}

// enter takes a place for a request from the address, which the caller must
// leave. Strangers wait for one, until the context ends; for a known document
// it fails with errBusy.
func (d *downloads) enter(ctx context.Context, address string, known bool) (leave func(), err error) {
	if !known {
		return d.unknown.wait(ctx, address)
	}
	if leave, ok := d.known.take(address); ok {
		return leave, nil
	}
	return nil, errBusy
}

// places are shared fairly among senders: one gets another place only while it
// holds fewer than are free. So a single one takes half of them, the next one
// half of the rest, and there is nearly always one left for who holds none.
type places struct {
	mu      sync.Mutex
	free    int
	held    map[string]int // by sender
	address map[string]int // the same, by address
	waiting []*waiter      // in order of arrival
}

type waiter struct {
	sender, address string
	entered         chan struct{}
}

func newPlaces(n int) *places {
	return &places{free: n, held: map[string]int{}, address: map[string]int{}}
}

func newWaiter(address string) *waiter {
	return &waiter{sender: ratelimit.SenderBlock(address), address: ratelimit.AddressBlock(address), entered: make(chan struct{})}
}

// take takes a place for the address, if it may have one now.
func (p *places) take(address string) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := newWaiter(address)
	if !p.admits(w) {
		return nil, false
	}
	p.enter(w)
	return func() { p.leave(w) }, true
}

// wait takes a place for the address when it may have one.
func (p *places) wait(ctx context.Context, address string) (leave func(), err error) {
	w := newWaiter(address)
	p.mu.Lock()
	p.waiting = append(p.waiting, w)
	p.admit()
	p.mu.Unlock()
	select {
	case <-w.entered:
		return func() { p.leave(w) }, nil
	case <-ctx.Done():
		p.giveUp(w)
		return nil, ctx.Err()
	}
}

func (p *places) admits(w *waiter) bool { return p.held[w.sender] < p.free }

func (p *places) enter(w *waiter) {
	p.free--
	p.held[w.sender]++
	p.address[w.address]++
	close(w.entered)
}

func (p *places) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
	release(p.held, w.sender)
	release(p.address, w.address)
	p.admit()
}

// giveUp ends the wait, which may have come to its end at the same moment.
func (p *places) giveUp(w *waiter) {
	p.mu.Lock()
	i := slices.Index(p.waiting, w)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 {
		p.leave(w)
	}
}

// admit gives free places to those who wait: first to who holds the fewest, and
// among these to who came first.
func (p *places) admit() {
	for p.free > 0 && len(p.waiting) > 0 {
		next := slices.MinFunc(p.waiting, func(a, b *waiter) int {
			return cmp.Or(cmp.Compare(p.held[a.sender], p.held[b.sender]), cmp.Compare(p.address[a.address], p.address[b.address]))
		})
		if !p.admits(next) {
			return
		}
		i := slices.Index(p.waiting, next)
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.enter(next)
	}
}

// release counts one less, and forgets what holds nothing.
func release(count map[string]int, key string) {
	if count[key]--; count[key] == 0 {
		delete(count, key)
	}
}
