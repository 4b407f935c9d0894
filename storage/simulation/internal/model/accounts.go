package model

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (w *World) lease() *Operation {
	k, now := w.key(), w.Now
	if known := pick(w, sortedKeys(w.connections)); known.Owner != "" {
		k = known
	}
	before, holder := w.connections[k], w.fresh("lease-")
	before.ConnectionKey = k
	until := w.ends(30 * time.Second)
	return &Operation{
		Verb: "LeaseConnection", Args: fmt.Sprintf("%s, %s, revision %d, %s", k.Owner, k.Server, before.Revision, holder), Saw: w.noteConnection(k),
		Do: func(ctx context.Context, s storage.Store, c Clock) Answer {
			got, v, err := s.LeaseConnection(ctx, before, holder, c.At(until), c.At(now))
			return verdict(v, seenConnection{got}, err)
		},
		Apply: func(s *state, got *Answer) error {
			c, live := s.liveConnection(k, now)
			v := storage.OK
			switch {
			case !live:
				return got.wants(storage.Unknown)
			case c.state != storage.Active && c.state != storage.InDoubt:
				v = storage.Changed
			case c.lease != "" && there(c.leaseUntil, now):
				v = storage.LeaseHeld
			case c.lease != "":
				v = storage.LeaseExpired
				c.state, c.lease, c.leaseUntil, c.revision = storage.InDoubt, "", time.Time{}, c.revision.next()
			case c.id != before.ID:
				v = storage.Changed
			case !c.revision.is(before.Revision) && !(c.revision.n == 0 && got != nil && got.err == nil && got.verdict == storage.OK && c.revision.see(before.Revision)):
				v = storage.Changed // but for one whose revision nobody saw
			default:
				c.lease, c.leaseUntil, c.revision = holder, until, c.revision.next()
				if c.state == storage.InDoubt {
					c.retries++
				}
			}
			s.connections[k] = c
			return cmp.Or(got.wants(v), s.sees(got, k, now))
		},
	}
}

func (w *World) disconnect() *Operation {
	k, now := w.key(), w.Now
	before := w.connections[k]
	before.ConnectionKey = k
	var queue *storage.ProviderRevocation
	if w.one(2) {
		queue = w.revocation(k.Server)
	}
	args := fmt.Sprintf("%s, %s, %s, revision %d", k.Owner, k.Server, before.ID, before.Revision)
	if queue != nil {
		args += ", queues " + queue.ID
	}
	return &Operation{
		Verb: "Disconnect", Args: args, Saw: w.noteConnection(k),
		Do: func(ctx context.Context, s storage.Store, c Clock) Answer {
			got, v, err := s.Disconnect(ctx, before, revocationAt(queue, c), c.At(now))
			return verdict(v, seenConnection{got}, err)
		},
		Apply: func(s *state, got *Answer) error {
			current, live := s.liveConnection(k, now)
			if live && (before.ID != current.id || !current.revision.is(before.Revision)) {
				return cmp.Or(got.wants(storage.Changed), s.sees(got, k, now))
			}
			maps.DeleteFunc(s.pending, func(_ string, p connectState) bool { return p.key == k })
			s.disconnects[k] = disconnect{number: s.disconnects[k].number.next(), at: now}
			s.removeConnection(k, now)
			if queue != nil {
				s.revocations[queue.ID] = revocation{due: queue.DueAt, expires: queue.ExpiresAt}
			}
			if !live {
				return cmp.Or(got.wants(storage.Unknown), s.sees(got, k, now))
			}
			return cmp.Or(got.wants(storage.OK), s.sees(got, k, now))
		},
	}
}

func (w *World) lastDisconnect() *Operation {
	k, now := w.key(), w.Now
	return &Operation{
		Verb: "LastDisconnect", Args: k.Owner + ", " + k.Server, Reads: true,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			n, err := s.LastDisconnect(ctx, k)
			return found(n, err)
		},
		Saw: func(got Answer) {
			if got.err == nil {
				w.disconnects[k] = seenDisconnect{got.value.(uint64), now}
			}
		},
		Apply: func(s *state, got *Answer) error {
			if got == nil || got.err != nil {
				return got.isDone()
			}
			last := s.disconnects[k]
			n := got.value.(uint64)
			switch {
			case n == 0 && (last.at.IsZero() || last.forgotten):
				return nil
			case n == 0 && now.Sub(last.at) >= storage.DisconnectMemory:
				last.forgotten = true
			case last.at.IsZero() || last.forgotten || !last.number.see(n):
				return fmt.Errorf("number %d, want %+v", n, last.number)
			}
			s.disconnects[k] = last
			return nil
		},
	}
}

// listConnections is ConnectionsOf, or Connections.
func (w *World) listConnections() *Operation {
	now, verb, owner := w.Now, among(w, "ConnectionsOf", "Connections"), among(w, "", "alice", "carol")
	if verb == "Connections" {
		owner = ""
	}
	name := func(c storage.Connection) string { return c.ID }
	return &Operation{
		Verb: verb, Args: owner, Reads: true, Alone: verb == "Connections",
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			if verb == "ConnectionsOf" {
				all, err := s.ConnectionsOf(ctx, issuer, owner, k.At(now))
				return found(names(all, name), err)
			}
			all, err := pages(func(after string) ([]storage.Connection, string, error) {
				return s.Connections(ctx, issuer, after, 2, k.At(now))
			})
			return found(names(all, name), err)
		},
		Apply: func(s *state, got *Answer) error {
			var want []string
			for k := range s.connections {
				if c, live := s.liveConnection(k, now); live && (owner == "" || owner == k.Owner) {
					want = append(want, c.id)
				}
			}
			slices.Sort(want)
			return got.lists(append([]string{}, want...))
		},
	}
}

// adoption is what a person saw that they connected in a flow, for its owner.
func adoption(w *World, flowID, owner string) (all []storage.Connection) {
	for _, k := range sortedKeys(w.connections) {
		if k.Owner != storage.FlowOwner(flowID) {
			continue
		}
		c := w.connections[k]
		c.Owner, c.Secret, c.ExpiresAt, c.OnExpiry = owner, []byte(w.fresh("secret-")), time.Time{}, nil
		if old, has := w.connections[c.ConnectionKey]; has {
			c.ID = old.ID
		}
		all = append(all, c)
	}
	return all
}

// ofFlow returns the keys of what a flow connected.
func (s *state) ofFlow(id string, now time.Time) (keys []storage.ConnectionKey) {
	for k := range s.connections {
		if _, live := s.liveConnection(k, now); live && k.Owner == storage.FlowOwner(id) {
			keys = append(keys, k)
		}
	}
	return keys
}

// adoptsAsSeen reports whether a submission knows what was connected, and what that
// replaces.
func (s *state) adoptsAsSeen(sub submission, now time.Time) bool {
	made := s.ofFlow(sub.id, now)
	if len(made) != len(sub.adopt) {
		return false
	}
	for _, k := range made {
		of, known := s.connections[k], false
		for _, c := range sub.adopt {
			if c.Server != k.Server {
				continue
			}
			known = of.revision.is(c.Revision)
			old, has := s.liveConnection(c.ConnectionKey, now)
			if has && old.id != c.ID || !has && of.id != c.ID {
				return false
			}
		}
		if !known {
			return false
		}
	}
	return true
}

// adopt removes what a flow connected, or gives it to its owner.
func (s *state) adopt(sub submission, now time.Time) {
	maps.DeleteFunc(s.pending, func(_ string, p connectState) bool { return p.key.Owner == storage.FlowOwner(sub.id) })
	for _, k := range s.ofFlow(sub.id, now) {
		s.removeConnection(k, now)
	}
	for _, c := range sub.adopt {
		old, live := s.liveConnection(c.ConnectionKey, now)
		if !live {
			old = connection{}
		}
		s.removeConnection(c.ConnectionKey, now)
		s.connections[c.ConnectionKey] = connection{id: c.ID, secret: string(c.Secret), state: c.State, revision: old.revision.next(), retries: c.Retries}
	}
}
