package model

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// World makes up operations: it is everybody who calls. It knows what was answered,
// not what the model thinks.
type World struct {
	Now     time.Time // true
	rng     *rand.Rand
	last    int
	focus   focus
	moments []*moment
	// ask makes up what is called next, as something ends that it is about; or nil.
	ask func() *Operation

	clients  []knownClient
	flows    []string
	flowAs   map[string]*flow // as they were saved last
	sessions []string
	signIns  map[string]*signIn
	told     map[string]bool // sessions of which a browser was told
	grants   []*knownGrant
	persons  map[string]storage.Person // as they were answered last
	// connections are what was answered last, by key.
	connections map[storage.ConnectionKey]storage.Connection
	disconnects map[storage.ConnectionKey]seenDisconnect
	pending     []string // connect states
	revocations []string
	upstream    map[string]string // the secret that was stored last
	keys        map[string]storage.VirtualKey
	values      map[string]string
	put         map[string]bool // site values of which nobody is told
}

// moment is when something that callers know of ends.
type moment struct {
	at time.Time
	// ask makes up the call whose answer is another one from then on, or is nil: else
	// few schedules that set the clock there make that call next.
	ask func() *Operation
}

type knownClient struct{ id, token string }

// knownGrant is a grant, its code, and its refresh tokens as far as they were asked
// for, the newest last.
type knownGrant struct {
	id, client, code string
	identity         storage.Identity
	tokens           []string
	access           []string
	rotated          string // the token that was exchanged last, at rotatedAt
	rotatedAt        time.Time
	over             bool // it was said that nothing comes of it any more, or it seemed so
	claimed          bool // somebody got tokens for the code, or may have
	proves           bool // its tokens prove that they belong to it
}

type seenDisconnect struct {
	number uint64
	at     time.Time
}

// NewWorld returns the world of a schedule.
func NewWorld(rng *rand.Rand) *World {
	return &World{
		rng: rng, focus: focus(rng.IntN(int(focuses))), Now: Base, flowAs: map[string]*flow{}, signIns: map[string]*signIn{}, persons: map[string]storage.Person{}, connections: map[storage.ConnectionKey]storage.Connection{},
		disconnects: map[storage.ConnectionKey]seenDisconnect{}, upstream: map[string]string{},
		keys: map[string]storage.VirtualKey{}, values: map[string]string{}, put: map[string]bool{}, told: map[string]bool{},
	}
}

// fresh names something new.
func (w *World) fresh(kind string) string {
	w.last++
	return fmt.Sprint(kind, w.last)
}

// one reports true once in n times.
func (w *World) one(n int) bool { return w.rng.IntN(n) == 0 }

// ends notes that something ends, so that the clock may be set right there.
func (w *World) ends(in time.Duration) time.Time {
	t := w.Now.Add(in)
	w.moments = append(w.moments, &moment{at: t})
	return t
}

// pick chooses one, the newest most often; zero if there is none.
func pick[T any](w *World, of []T) (chosen T) {
	if len(of) == 0 {
		return chosen
	}
	if w.one(2) {
		return of[len(of)-1]
	}
	return of[w.rng.IntN(len(of))]
}

// but are the others of a list.
func but[T any](of []T, not func(T) bool) []T { return slices.DeleteFunc(slices.Clone(of), not) }

// among chooses one of a few.
func among[T any](w *World, of ...T) T { return of[w.rng.IntN(len(of))] }

// sortedKeys are the keys of connections, in an order that is always the same.
func sortedKeys(of map[storage.ConnectionKey]storage.Connection) []storage.ConnectionKey {
	return slices.SortedFunc(maps.Keys(of), func(a, b storage.ConnectionKey) int {
		return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Server, b.Server))
	})
}

// subjects are those who sign in. Carol and dave come from an identity provider.
var subjects = []string{"alice", "bob", "carol", "dave"}

// who is somebody who signs in, by one of their ways to prove it.
func (w *World) who() storage.Identity {
	name := among(w, subjects...)
	if p, known := w.persons[name]; known {
		id := p.Identity()
		id.Claims, id.Name = nil, ""
		if w.one(3) {
			id.ProviderSession = among(w, "s1", "s2")
		}
		return id
	}
	if name == "carol" || name == "dave" {
		name = "alice"
	}
	id := storage.Identity{Kind: "user_id", Subject: name}
	if w.one(5) {
		id.Proof = "another"
	}
	return id
}

// owner is who may have connections.
func (w *World) key() storage.ConnectionKey {
	owner := among(w, "alice", "carol", storage.SharedOwner)
	if len(w.flows) > 0 && w.one(3) {
		owner = storage.FlowOwner(pick(w, w.flows))
	}
	return storage.ConnectionKey{Issuer: issuer, Owner: owner, Server: among(w, "wiki", "mail")}
}

// Advance moves the true time: mostly a moment, sometimes right to where something
// ends, or past it.
func (w *World) Advance() time.Duration {
	before := w.Now
	switch n := w.rng.IntN(60); {
	case n < 12 && goTo(w, func(m *moment) bool { return m.ask != nil }):
	case n < 40:
		w.Now = w.Now.Add(time.Duration(w.rng.IntN(4)) * time.Millisecond)
	case n < 52:
		// To those that are near: what lives for a month ends in few schedules.
		goTo(w, func(m *moment) bool { return m.at.Sub(w.Now) <= time.Hour || w.one(40) })
	default:
		w.Now = w.Now.Add(among(w, time.Second, 2*time.Second, time.Minute, 5*time.Minute, 15*time.Minute, time.Hour, 24*time.Hour, 29*24*time.Hour))
	}
	return w.Now.Sub(before)
}

// goTo sets the clock to one of the moments to come, just before it, or just behind it,
// and reports whether there is one.
func goTo(w *World, one func(*moment) bool) bool {
	of := but(w.moments, func(m *moment) bool { return !m.at.After(w.Now) || !one(m) })
	if len(of) == 0 {
		return false
	}
	m := pick(w, of)
	if at := m.at.Add(time.Duration(w.rng.IntN(3)-1) * time.Millisecond); at.After(w.Now) {
		w.Now, w.ask = at, m.ask
	}
	return true
}
