package model

import (
	"maps"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// issuer is the site of all records.
const issuer = "https://mcp.example.com"

// state is what a store may hold: the model. Records are values, so that a copy
// of the maps is a copy of all. What ended stays, and counts as absent.
type state struct {
	clients     map[string]client
	flows       map[string]flow
	grants      map[string]grant
	codes       map[string]code
	refresh     map[string]refreshToken
	access      map[string]accessToken
	sessions    map[string]session
	used        map[string]time.Time
	values      map[string]siteValue
	connections map[storage.ConnectionKey]connection
	disconnects map[storage.ConnectionKey]disconnect
	pending     map[string]connectState
	upstream    map[string]upstreamClient
	revocations map[string]revocation
	keys        map[string]virtualKey
	keyChange   number // of the last change of a virtual key
	keyChanges  bool   // there was one
	persons     map[string]person
	rates       map[string]time.Time // until when each is used up, at least
	instances   map[string]time.Time // when each was seen last

	digests [numAreas]digest // of the areas; zero if it is not known
}

func newState() *state {
	return &state{
		clients: map[string]client{}, flows: map[string]flow{}, grants: map[string]grant{}, codes: map[string]code{},
		refresh: map[string]refreshToken{}, access: map[string]accessToken{}, sessions: map[string]session{},
		used: map[string]time.Time{}, values: map[string]siteValue{}, connections: map[storage.ConnectionKey]connection{},
		disconnects: map[storage.ConnectionKey]disconnect{}, pending: map[string]connectState{},
		upstream: map[string]upstreamClient{}, revocations: map[string]revocation{}, keys: map[string]virtualKey{}, persons: map[string]person{},
		rates: map[string]time.Time{}, instances: map[string]time.Time{},
	}
}

// number is one that the store chooses, such as a revision: it is known once
// somebody saw it, and grows with each change.
type number struct{ n, above uint64 }

// next is the number after a change.
func (x number) next() number { return number{above: max(x.n, x.above)} }

// see notes the number, and reports whether it can be it.
func (x *number) see(got uint64) bool {
	if x.n == 0 && got > x.above {
		x.n = got
	}
	return x.n == got && got != 0
}

// is reports whether it is the number that a caller saw before.
func (x number) is(seen uint64) bool { return x.n != 0 && x.n == seen }

type client struct {
	expires, created, approved time.Time
	used                       bool
	quota                      string
	token                      string // that guards the registration
}

type flow struct {
	identity  storage.Identity
	session   string
	browser   string
	submitted bool
	expires   time.Time
}

type grant struct {
	client            string
	identity          storage.Identity
	created           time.Time
	expires, absolute time.Time
	revoked           bool
	head              string // the refresh token that nobody used yet
	quota             string
	chosen            string // the one tool that the client may use; empty for all
}

type code struct {
	grant, client        string
	claimed, proofFailed bool
	expires              time.Time
}

type refreshToken struct {
	grant, successor, predecessor string
	expires, rotated              time.Time
	grace                         time.Duration
	replay                        string
	forgotten                     bool
	kept                          bool // its record may outlive the grant: it proves nothing
}

type accessToken struct {
	grant, client string
	order         int // of issue, in its grant
	expires       time.Time
	identity      storage.Identity
}

type session struct {
	identity         storage.Identity
	created, expires time.Time
	quota            string
}

type siteValue struct {
	text    string
	expires time.Time
}

type connection struct {
	id, secret      string
	state           storage.ConnectionState
	revision        number
	expires         time.Time
	lease           string
	leaseUntil      time.Time
	retries         int
	onExpiry        string
	onExpiryExpires time.Time
	maybeGone       bool // it ended, and what that queued was done, if it was queued
}

type disconnect struct {
	number    number
	at        time.Time
	forgotten bool // somebody was told that there was none: it is long ago
}

type connectState struct {
	key     storage.ConnectionKey
	browser string
	expires time.Time
}

type upstreamClient struct{ secret string }

// revocation may be there without anybody knowing, if maybe: the sweep may have
// queued it, or not yet.
type revocation struct {
	// later is when it is due if an answer that nobody saw had it, else zero.
	later        time.Time
	due, expires time.Time
	attempts     int
	maybe        bool
}

type virtualKey struct {
	revision number
	disabled bool
}

// person is a storage.Person with its revision beside it, as nobody may have seen it.
type person struct {
	storage.Person
	revision number
}

// there reports whether a record with this end is present.
func there(ends, now time.Time) bool { return ends.After(now) }

// alive reports whether the person of an identity is there, if it has one.
func (s *state) alive(id storage.Identity, now time.Time) bool {
	if id.Person == "" {
		return true
	}
	p, found := s.persons[id.Subject]
	return found && p.Fill(&id, now)
}

// grantVerdict tells whether tokens may be issued under a grant.
func (s *state) grantVerdict(id string, now time.Time) storage.Verdict {
	g, found := s.grants[id]
	switch {
	case !found || !s.alive(g.identity, now):
		return storage.Expired
	case g.revoked:
		return storage.Revoked
	case !there(g.expires, now):
		return storage.Expired
	}
	return storage.OK
}

// revoke revokes a grant and removes its access tokens.
func (s *state) revoke(id string) {
	g, found := s.grants[id]
	if !found {
		return
	}
	g.revoked = true
	s.grants[id] = g
	maps.DeleteFunc(s.access, func(_ string, t accessToken) bool { return t.grant == id })
}

// accessOf returns the live access tokens of a grant.
func (s *state) accessOf(id string, now time.Time) map[string]accessToken {
	of := map[string]accessToken{}
	for name, t := range s.access {
		if t.grant == id && there(t.expires, now) {
			of[name] = t
		}
	}
	return of
}

// signedIn reports whether a browser session is somebody's.
func (s *state) signedIn(name string, now time.Time) (session, bool) {
	b, found := s.sessions[name]
	return b, found && there(b.expires, now) && s.alive(b.identity, now)
}

// liveFlow returns a flow whose person is there.
func (s *state) liveFlow(id string, now time.Time) (flow, bool) {
	f, found := s.flows[id]
	return f, found && there(f.expires, now) && s.alive(f.identity, now)
}

// holds reports whether an authentication still holds.
func (s *state) holds(identity storage.Identity, session, flowID string, now time.Time) bool {
	if flowID != "" {
		f, found := s.liveFlow(flowID, now)
		return found && !f.submitted && f.identity.Same(identity)
	}
	b, found := s.signedIn(session, now)
	return found && b.identity.Same(identity)
}

// liveConnection returns a connection that has not ended.
func (s *state) liveConnection(k storage.ConnectionKey, now time.Time) (connection, bool) {
	c, found := s.connections[k]
	if !found || !c.expires.IsZero() && !there(c.expires, now) {
		return connection{}, false
	}
	return c, true
}

// removeConnection removes what there is at a key, and queues the revocation of
// what ended.
func (s *state) removeConnection(k storage.ConnectionKey, now time.Time) {
	c, found := s.connections[k]
	if found && !c.expires.IsZero() && !there(c.expires, now) {
		s.queueExpired(c, now, false)
	}
	delete(s.connections, k)
}

func (s *state) queueExpired(c connection, now time.Time, maybe bool) {
	maybe = maybe || c.maybeGone
	if c.onExpiry == "" || !there(c.onExpiryExpires, now) {
		return
	}
	if before, found := s.revocations[c.onExpiry]; maybe && found && !before.maybe {
		return
	}
	s.revocations[c.onExpiry] = revocation{due: c.expires, expires: c.onExpiryExpires, maybe: maybe}
}
