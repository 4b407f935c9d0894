package reseal

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

const (
	// perTurn is how many records a turn looks at. Sealing them anew holds up other
	// writers for a few milliseconds.
	perTurn = 128
	// pause is what passes between looks at all records while there is nothing to do,
	// and soon while there may be.
	pause = time.Hour
	soon  = time.Second
	// retry is when a look begins again after a failure, or when some records could
	// not be sealed anew.
	retry = time.Minute
)

// Store is what it works on.
type Store interface {
	storage.SealedStore
	SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error)
	ReplaceSiteValue(ctx context.Context, v storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error)
}

// Resealer is at work for one ring. It is safe for concurrent use.
type Resealer struct {
	store Store
	ring  *seal.Keyring
	now   func() time.Time

	turn    sync.Mutex // held while a page is looked at
	claimed bool
	sealing string // the key of the last look
	after   string // where the look goes on
	at      time.Time
	look    *look

	mu     sync.Mutex
	status Status
}

// Counts are numbers of sealed values by their kind.
type Counts map[storage.SealedKind]int

// Total returns how many there are of all kinds.
func (c Counts) Total() (n int) {
	for _, of := range c {
		n += of
	}
	return n
}

// Status is how far it is.
type Status struct {
	// Since is when the first key became the first, as far as this store knows and by
	// its clock. It is zero until that was stored.
	Since time.Time
	// Superseded tells that a process whose configuration was loaded later has
	// another first key: nothing is sealed anew here.
	Superseded bool
	// LookedAt is when the last look at all records ended, zero before the first.
	// Found is what it found, by the ID of the key.
	LookedAt time.Time
	Found    map[string]Counts
	// Unreadable are those that no key of the ring opens.
	Unreadable Counts
	// Sealed counts what was sealed anew since this process has the ring.
	Sealed int
}

// New returns who seals anew with the first key of a ring.
func New(store Store, ring *seal.Keyring, now func() time.Time) *Resealer {
	return &Resealer{store: store, ring: ring, now: now}
}

// Follow is New for a ring that seals with the key that all processes on the store
// agreed on: it has no say in that.
func Follow(store Store, ring *seal.Keyring, now func() time.Time) *Resealer {
	return &Resealer{store: store, ring: ring, now: now, claimed: true}
}

// storeNow is the time by the store's clock, if it has one.
func (r *Resealer) storeNow() time.Time { return storage.NowOf(r.store, r.now)() }

// Status returns how far it is.
func (r *Resealer) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status // what is in it is not changed any more
}

// Pending returns, of the last look, what is to be sealed anew before all keys but
// the first may go.
func (s Status) Pending(first string) Counts {
	all := Counts{}
	for id, counts := range s.Found {
		if id == first {
			continue
		}
		for kind, n := range counts {
			all[kind] += n
		}
	}
	return all
}

// Waiting returns for how long something has been waiting to be sealed anew: since
// the first key became the first, which is the longest that it can be. It is 0 if
// nothing is.
func (r *Resealer) Waiting() time.Duration {
	s := r.Status()
	if s.LookedAt.IsZero() || s.Since.IsZero() || s.Pending(r.ring.Sealing()).Total() == 0 {
		return 0
	}
	return max(0, r.storeNow().Sub(s.Since))
}

// Turn does the next bit of the work, if it is time for it. It is to be called a few
// times a second, and reports whether a look at all records has just ended.
func (r *Resealer) Turn(ctx context.Context) (ended bool, err error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if now := r.now(); now.Before(r.at) && r.at.Sub(now) <= pause && (r.sealing == r.ring.Sealing() || r.sealing == "") {
		return false, nil
	}
	if r.look == nil {
		err = r.begin(ctx)
	}
	if err == nil {
		r.after, err = r.look.page(ctx, r.store, r.after)
	}
	if err != nil {
		r.look, r.after, r.at = nil, "", r.now().Add(retry)
		return false, err
	}
	if r.after != "" {
		return false, nil
	}
	r.end()
	return true, nil
}

// begin begins a look at all records.
func (r *Resealer) begin(ctx context.Context) error {
	superseded, since, err := r.claim(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.status.Superseded, r.status.Since = superseded, since
	r.mu.Unlock()
	r.look, r.sealing = newLook(r.ring, superseded), r.ring.Sealing()
	return nil
}

// end makes known what the look found.
func (r *Resealer) end() {
	l := r.look
	r.mu.Lock()
	r.status.LookedAt, r.status.Found, r.status.Unreadable = r.now(), l.found, l.unreadable
	r.status.Sealed += l.sealed
	left := r.status.Pending(r.ring.Sealing()).Total()
	r.mu.Unlock()
	r.look = nil
	switch {
	case l.superseded:
		r.at = r.now().Add(retry)
	case left == 0:
		r.at = r.now().Add(pause)
	case l.sealed > 0: // all of it, probably: look again
		r.at = r.now().Add(soon)
	default:
		r.at = r.now().Add(retry)
	}
}

// look is one look at all records.
type look struct {
	ring       *seal.Keyring
	superseded bool
	found      map[string]Counts
	unreadable Counts
	sealed     int
}

func newLook(ring *seal.Keyring, superseded bool) *look {
	return &look{ring: ring, superseded: superseded, found: map[string]Counts{}, unreadable: Counts{}}
}

// seen is what was seen of one value, which the store may show more than once.
type seen struct {
	kind storage.SealedKind
	key  string // the ID of the key; empty if none opens it
}

// page looks at the records behind after, and returns where to go on.
func (l *look) page(ctx context.Context, store storage.SealedStore, after string) (next string, err error) {
	values, sealed := map[string]seen{}, map[string]bool{} // by their place
	next, err = store.ReplaceSealed(ctx, after, perTurn, func(v storage.SealedValue) []byte {
		place := string(v.Kind) + "\x00" + strings.Join(v.Context, "\x00")
		plain, err := l.ring.Open(v.Sealed, v.Context...)
		if err != nil {
			values[place] = seen{v.Kind, ""}
			return nil
		}
		current := l.ring.Current(v.Sealed)
		if !sealed[place] { // else the store shows what this just sealed
			values[place] = seen{v.Kind, seal.KeyID(v.Sealed)}
		}
		if current || l.superseded {
			return nil
		}
		sealed[place] = true
		return l.ring.Seal(plain, v.Context...)
	})
	if err != nil {
		return "", err
	}
	l.sealed += len(sealed)
	for v := range maps.Values(values) {
		counts := l.unreadable
		if v.key != "" {
			if l.found[v.key] == nil {
				l.found[v.key] = Counts{}
			}
			counts = l.found[v.key]
		}
		counts[v.kind]++
	}
	return next, nil
}
