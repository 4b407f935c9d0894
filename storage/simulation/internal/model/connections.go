package model

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// seenConnection is a connection in an answer.
type seenConnection struct{ storage.Connection }

func (c seenConnection) String() string {
	if c.ID == "" {
		return "(none)"
	}
	return fmt.Sprintf("(%s, revision %d, %s, lease %q)", c.ID, c.Revision, c.State, c.Lease)
}

// sees compares a connection in an answer with the one that there is. A revision
// that nobody knew is known from now on.
func (s *state) sees(got *Answer, k storage.ConnectionKey, now time.Time) error {
	if got == nil || got.err != nil {
		return nil
	}
	c, live := s.liveConnection(k, now)
	seen := got.value.(seenConnection)
	if !live || seen.ID == "" {
		return equal("connection", seen.ID, c.id)
	}
	if !c.revision.see(seen.Revision) {
		return fmt.Errorf("revision %d, want %+v", seen.Revision, c.revision)
	}
	s.connections[k] = c
	return cmp.Or(equal("ID", seen.ID, c.id), equal("state", seen.State, c.state), equal("secret", string(seen.Secret), c.secret),
		equal("lease", seen.Lease, c.lease), equal("retries", seen.Retries, c.retries))
}

// noteConnection remembers what was answered.
func (w *World) noteConnection(k storage.ConnectionKey) func(Answer) {
	return func(got Answer) {
		switch c, is := got.value.(seenConnection); {
		case !is || got.Failed():
		case c.ID == "":
			delete(w.connections, k)
		default:
			w.connections[k] = c.Connection
		}
	}
}

func (w *World) readConnection() *Operation {
	k, now := w.key(), w.Now
	return &Operation{
		Verb: "Connection", Args: k.Owner + ", " + k.Server, Reads: true, Saw: w.noteConnection(k),
		Do: func(ctx context.Context, s storage.Store, c Clock) Answer {
			got, err := s.Connection(ctx, k, c.At(now))
			return found(seenConnection{got}, err)
		},
		Apply: func(s *state, got *Answer) error {
			_, live := s.liveConnection(k, now)
			return cmp.Or(got.isThere(live), s.sees(got, k, now))
		},
	}
}

func (w *World) readConnectionByID() *Operation {
	k, now := w.key(), w.Now
	id := w.connections[k].ID
	return &Operation{
		Verb: "ConnectionByID", Args: id, Reads: true,
		Do: func(ctx context.Context, s storage.Store, c Clock) Answer {
			got, err := s.ConnectionByID(ctx, issuer, id, c.At(now))
			return found(seenConnection{got}, err)
		},
		Apply: func(s *state, got *Answer) error {
			for k := range s.connections {
				if c, live := s.liveConnection(k, now); live && c.id == id {
					return cmp.Or(got.isThere(true), s.sees(got, k, now))
				}
			}
			return got.isThere(false)
		},
	}
}

// replaceConnection is PutConnection, and ReplaceConnection if it is by a person.
func (w *World) replaceConnection() *Operation {
	k, now := w.key(), w.Now
	before := w.connections[k]
	c := storage.ConnectionReplacement{Connection: storage.Connection{
		ConnectionKey: k, ID: before.ID, Revision: before.Revision, State: among(w, storage.Active, storage.Active, storage.InDoubt, storage.NeedsReauth),
		Secret: []byte(w.fresh("secret-")),
	}}
	if before.ID == "" {
		c.ID = w.fresh("connection-")
	}
	if k.Owner != "alice" && k.Owner != "carol" && k.Owner != storage.SharedOwner {
		c.ExpiresAt = w.ends(10 * time.Minute)
		if w.one(2) {
			c.OnExpiry = &storage.ProviderRevocation{
				ID: w.fresh("revocation-"), Issuer: issuer, Server: k.Server, Secret: []byte("sealed"), DueAt: c.ExpiresAt, ExpiresAt: c.ExpiresAt.Add(24 * time.Hour),
			}
		}
	}
	verb := "PutConnection"
	if byPerson := w.one(2); byPerson {
		verb = "ReplaceConnection"
		w.conditions(&c)
	}
	return &Operation{
		Verb: verb, Args: describe(c), Saw: w.noteConnection(k),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			if verb == "PutConnection" {
				stored, v, err := s.PutConnection(ctx, toStore(c, k).Connection, k.At(now))
				return verdict(v, seenConnection{stored}, err)
			}
			stored, v, err := s.ReplaceConnection(ctx, toStore(c, k), k.At(now))
			return verdict(v, seenConnection{stored}, err)
		},
		Apply: func(s *state, got *Answer) error {
			v := s.replace(c, now)
			if v != storage.OK {
				return cmp.Or(got.wants(v), s.sees(got, k, now))
			}
			old, live := s.liveConnection(k, now)
			if !live {
				old = connection{}
			}
			s.removeConnection(k, now)
			next := connection{id: c.ID, secret: string(c.Secret), state: c.State, revision: old.revision.next(), expires: c.ExpiresAt}
			if c.OnExpiry != nil {
				next.onExpiry, next.onExpiryExpires = c.OnExpiry.ID, c.OnExpiry.ExpiresAt
			}
			s.connections[k] = next
			if c.Revokes != nil {
				s.revocations[c.Revokes.ID] = revocation{due: c.Revokes.DueAt, expires: c.Revokes.ExpiresAt}
			}
			if c.UsesUp != nil {
				s.used[usedName(c.UsesUp.Hash)] = c.UsesUp.ExpiresAt
			}
			return cmp.Or(got.wants(storage.OK), s.sees(got, k, now))
		},
	}
}

// conditions are those of somebody who connects: who they are, what is used up with
// it, and which disconnect they know of.
func (w *World) conditions(c *storage.ConnectionReplacement) {
	if w.one(2) {
		c.Authentication = &storage.Authentication{Identity: w.who()}
		if id := pick(w, w.flows); id != "" && w.one(2) {
			c.Authentication.FlowID = id
			if f := w.flowAs[id]; f != nil {
				c.Authentication.Identity = f.identity
			}
		} else {
			c.Authentication.Session = hash(pick(w, w.sessions))
		}
	}
	c.UsesUp = w.usesUp(3)
	if seen, known := w.disconnects[c.ConnectionKey]; known && w.Now.Sub(seen.at) < storage.DisconnectMemory {
		c.LastDisconnect = &seen.number
	}
	if w.one(3) {
		c.Revokes = w.revocation(c.Server)
	}
}

func describe(c storage.ConnectionReplacement) string {
	text := fmt.Sprintf("%s, %s, %s, revision %d, %s, %s", c.Owner, c.Server, c.ID, c.Revision, c.State, c.Secret)
	if c.Authentication != nil {
		text += fmt.Sprintf(", by %s in flow %q", c.Authentication.Identity.Subject, c.Authentication.FlowID)
	}
	text += describeUse(c.UsesUp)
	if c.LastDisconnect != nil {
		text += ", knows a disconnect" // the number is the store's, and may be another next time
	}
	if c.Revokes != nil {
		text += ", revokes " + c.Revokes.ID
	}
	if c.OnExpiry != nil {
		text += ", on expiry " + c.OnExpiry.ID
	}
	return text
}

func toStore(c storage.ConnectionReplacement, k Clock) storage.ConnectionReplacement {
	c.ExpiresAt = k.At(c.ExpiresAt)
	c.OnExpiry, c.Revokes = revocationAt(c.OnExpiry, k), revocationAt(c.Revokes, k)
	c.UsesUp = useAt(c.UsesUp, k)
	return c
}

// replace is the verdict of ReplaceConnection.
func (s *state) replace(c storage.ConnectionReplacement, now time.Time) storage.Verdict {
	if c.UsesUp != nil && there(s.used[usedName(c.UsesUp.Hash)], now) {
		return storage.AlreadyUsed
	}
	if a := c.Authentication; a != nil && !s.holds(a.Identity, s.sessionOf(a.Session), a.FlowID, now) {
		return storage.SignedOut
	}
	if last := s.disconnects[c.ConnectionKey]; c.LastDisconnect != nil && !last.at.IsZero() && !last.number.is(*c.LastDisconnect) &&
		(*c.LastDisconnect != 0 || !last.forgotten) {
		return storage.DisconnectedSince
	}
	current, live := s.liveConnection(c.ConnectionKey, now)
	if live && (c.ID != current.id || !current.revision.is(c.Revision)) || !live && c.Revision != 0 {
		return storage.Changed
	}
	return storage.OK
}

// sessionOf finds a session by its hash.
func (s *state) sessionOf(h storage.Hash) string {
	for name := range s.sessions {
		if hash(name) == h {
			return name
		}
	}
	return ""
}

// usesUp is a value that a verb uses up with what it does, in one of so many cases.
func (w *World) usesUp(oneIn int) *storage.OneTime {
	if !w.one(oneIn) {
		return nil
	}
	return &storage.OneTime{Hash: hash(among(w, oneTimes...)), ExpiresAt: w.ends(10 * time.Minute)}
}

func describeUse(v *storage.OneTime) string {
	if v == nil {
		return ""
	}
	return ", uses up " + usedName(v.Hash)
}

func useAt(v *storage.OneTime, k Clock) *storage.OneTime {
	if v == nil {
		return nil
	}
	return &storage.OneTime{Hash: v.Hash, ExpiresAt: k.At(v.ExpiresAt)}
}

// usedBefore reports whether a value that a verb uses up was used, and uses it up.
func (s *state) usedBefore(v *storage.OneTime, now time.Time) bool {
	if v == nil {
		return false
	}
	name := usedName(v.Hash)
	was := there(s.used[name], now)
	if !was {
		s.used[name] = v.ExpiresAt
	}
	return was
}
