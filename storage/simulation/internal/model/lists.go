package model

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (w *World) readGrant() *Operation {
	id, now := pick(w, w.grants).id, w.Now
	return &Operation{
		Verb: "Grant", Args: id, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			g, err := s.Grant(ctx, id, k.At(now))
			return found(g, err)
		},
		Apply: func(s *state, got *Answer) error {
			g, known := s.grants[id]
			live := known && there(g.expires, now) && s.alive(g.identity, now)
			if err := got.isThere(live); err != nil || got == nil || !live {
				return err
			}
			return equal("revoked", !got.value.(storage.Grant).RevokedAt.IsZero(), g.revoked)
		},
	}
}

func (w *World) revokeGrant() *Operation {
	id, now := pick(w, w.grants).id, w.Now
	return &Operation{
		Verb: "RevokeGrant", Args: id,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			rev, err := s.RevokeGrant(ctx, id, k.At(now))
			return found(revoked{rev}, err)
		},
		Apply: func(s *state, got *Answer) error {
			return cmp.Or(got.isDone(), s.revokeAll(func(of string, _ grant) bool { return of == id }, now, got))
		},
	}
}

// listGrants is Grants, GrantsOfClient or GrantsOf.
func (w *World) listGrants() *Operation {
	now, verb := w.Now, among(w, "Grants", "GrantsOfClient", "GrantsOf")
	clientID, subject := pick(w, w.clients).id, among(w, subjects...)
	name := func(g storage.Grant) string { return g.ID }
	args := map[string]string{"GrantsOfClient": clientID, "GrantsOf": subject}[verb]
	return &Operation{
		Verb: verb, Args: args, Reads: true, Alone: verb != "GrantsOf",
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			if verb == "GrantsOf" {
				all, err := s.GrantsOf(ctx, issuer, subject, k.At(now))
				return found(names(all, name), err)
			}
			all, err := pages(func(after string) ([]storage.Grant, string, error) {
				if verb == "Grants" {
					return s.Grants(ctx, after, 2, k.At(now))
				}
				return s.GrantsOfClient(ctx, issuer, clientID, after, 2, k.At(now))
			})
			return found(names(all, name), err)
		},
		Apply: func(s *state, got *Answer) error {
			var want []string
			for id, g := range s.grants {
				of := verb == "Grants" || verb == "GrantsOfClient" && g.client == clientID || verb == "GrantsOf" && g.identity.Subject == subject
				if of && s.grantVerdict(id, now) == storage.OK {
					want = append(want, id)
				}
			}
			slices.Sort(want)
			return got.lists(append([]string{}, want...))
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

func (w *World) listSubjects() *Operation {
	now := w.Now
	return &Operation{
		Verb: "Subjects", Reads: true, Alone: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			all, err := pages(func(after string) ([]storage.Subject, string, error) { return s.Subjects(ctx, after, 2, k.At(now)) })
			return found(names(all, func(s storage.Subject) string { return s.Subject }), err)
		},
		Apply: func(s *state, got *Answer) error {
			have := map[string]bool{}
			for id, g := range s.grants {
				if s.grantVerdict(id, now) == storage.OK {
					have[g.identity.Subject] = true
				}
			}
			for k := range s.connections {
				if _, live := s.liveConnection(k, now); live && k.Owner != storage.SharedOwner && !strings.HasPrefix(k.Owner, storage.FlowOwner("")) {
					have[k.Owner] = true
				}
			}
			for name, b := range s.sessions {
				if _, live := s.signedIn(name, now); live {
					have[b.identity.Subject] = true
				}
			}
			for subject, p := range s.persons {
				if there(p.ExpiresAt, now) {
					have[subject] = true
				}
			}
			return got.lists(append([]string{}, slices.Sorted(maps.Keys(have))...))
		},
	}
}

func (w *World) sweep() *Operation {
	now := w.Now
	return &Operation{
		Verb: "Sweep",
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			_, err := s.Sweep(ctx, k.At(now))
			return done(err)
		},
		Apply: func(s *state, got *Answer) error {
			for k, c := range s.connections {
				if c.expires.IsZero() || there(c.expires, now) {
					continue
				}
				// Records are swept by the second, so that this one may be left.
				certain := got != nil && now.Sub(c.expires) >= 2*time.Second
				s.queueExpired(c, now, !certain)
				if certain {
					delete(s.connections, k)
				}
			}
			return got.isDone()
		},
	}
}

func (w *World) check() *Operation {
	return &Operation{
		Verb: "Check", Reads: true,
		Do:    func(ctx context.Context, s storage.Store, _ Clock) Answer { return done(s.Check(ctx)) },
		Apply: func(_ *state, got *Answer) error { return got.isDone() },
	}
}

func (w *World) empty() *Operation {
	now := w.Now
	return &Operation{
		Verb: "Empty", Reads: true,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			empty, err := s.Empty(ctx)
			return found(empty, err)
		},
		Apply: func(s *state, got *Answer) error {
			if got == nil || got.err != nil {
				return got.isDone()
			}
			if got.value.(bool) && s.holdsSomething(now) {
				return fmt.Errorf("empty, and it is not")
			}
			return nil
		},
	}
}

func (s *state) holdsSomething(now time.Time) bool {
	if len(s.keys) > 0 || len(s.upstream) > 0 {
		return true
	}
	for _, c := range s.clients {
		if there(c.expires, now) {
			return true
		}
	}
	for _, f := range s.flows {
		if there(f.expires, now) {
			return true
		}
	}
	for _, g := range s.grants {
		if there(g.expires, now) {
			return true
		}
	}
	return false
}

func (w *World) usage() *Operation {
	now := w.Now
	return &Operation{
		Verb: "Usage", Reads: true, Alone: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			u, err := s.Usage(ctx, k.At(now))
			return found(u, err)
		},
		Apply: func(s *state, got *Answer) error {
			if got == nil || got.err != nil {
				return got.isDone()
			}
			revocations := 0
			for _, r := range s.revocations {
				if !r.maybe && there(r.expires, now) {
					revocations++
				}
			}
			if u := got.value.(storage.Usage); u.Revocations < revocations {
				return fmt.Errorf("%d revocations, want at least %d", u.Revocations, revocations)
			}
			return nil
		},
	}
}
