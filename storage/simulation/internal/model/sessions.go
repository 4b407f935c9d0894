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

// signIn is a browser session that begins.
type signIn struct {
	name, replaces string
	identity       storage.Identity
	browser        string // the cookie of the flows that may end with it
	endsOthers     bool
	expires        time.Time
	quota          string
}

func (w *World) signIn(id storage.Identity) *signIn {
	b := &signIn{name: w.fresh("session-"), identity: id, browser: w.cookie(), endsOthers: w.one(3), expires: w.ends(12 * time.Hour)}
	if w.one(2) {
		b.replaces = w.current()
	}
	if w.one(3) {
		b.quota = among(w, "here", "there")
	}
	w.sessions = append(w.sessions, b.name)
	w.signIns[b.name] = b
	return b
}

// current is a session of which a browser was told, and that did not run out: one that
// did may be swept, or not, and so may or may not say whose flows end with it.
func (w *World) current() string {
	return pick(w, but(w.sessions, func(name string) bool { return !w.told[name] || !there(w.signIns[name].expires, w.Now) }))
}

// noteSignIn remembers that a browser was told of its session.
func (w *World) noteSignIn(b *signIn) func(Answer) {
	return func(got Answer) {
		if b != nil && got.err == nil && (!got.decides || got.verdict == storage.OK) {
			w.told[b.name] = true
		}
	}
}

func (b *signIn) String() string {
	return fmt.Sprintf("%s, %s, replaces %q, of %s, ends others %t, quota %q", b.name, b.identity.Subject+b.identity.Proof, b.replaces, b.browser, b.endsOthers, b.quota)
}

func (b *signIn) toStore(k Clock, now time.Time) storage.SignIn {
	out := storage.SignIn{
		BrowserSession: storage.BrowserSession{Hash: hash(b.name), Issuer: issuer, Identity: b.identity, CreatedAt: k.At(now), ExpiresAt: k.At(b.expires)},
		Replaces:       hash(b.replaces), Flows: []storage.Hash{hash(b.browser)}, EndsOthers: b.endsOthers,
	}
	if b.quota != "" {
		out.Quota = &storage.Quota{Key: hash(b.quota), Block: hash("block of " + b.quota), Max: maxQuota}
	}
	return out
}

func (w *World) createSession() *Operation {
	b, now := w.signIn(w.who()), w.Now
	return &Operation{
		Verb: "CreateBrowserSession", Args: b.String(), Saw: w.noteSignIn(b),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			return done(s.CreateBrowserSession(ctx, b.toStore(k, now)))
		},
		Apply: func(s *state, got *Answer) error {
			s.createSession(b, now)
			return got.isDone()
		},
	}
}

// createSession stores a session in place of the one that it replaces.
func (s *state) createSession(b *signIn, now time.Time) {
	before, replaces := s.sessions[b.replaces]
	delete(s.sessions, b.replaces)
	s.endFlows(now, func(f flow) bool {
		leaves := b.endsOthers || replaces && f.identity.Subject == before.identity.Subject
		return f.browser == b.browser && leaves && !f.identity.Same(b.identity)
	})
	s.sessions[b.name] = session{identity: b.identity, created: now, expires: b.expires, quota: b.quota}
	if b.quota == "" {
		return
	}
	of := slices.DeleteFunc(slices.Collect(maps.Keys(s.sessions)), func(name string) bool {
		return s.sessions[name].quota != b.quota || name == b.name
	})
	slices.SortFunc(of, func(x, y string) int {
		hx, hy := hash(x), hash(y)
		return cmp.Or(s.sessions[x].created.Compare(s.sessions[y].created), strings.Compare(string(hx[:]), string(hy[:])))
	})
	for _, name := range of[:max(0, len(of)+1-maxQuota)] {
		delete(s.sessions, name)
	}
}

func (w *World) readSession() *Operation {
	name, now := pick(w, w.sessions), w.Now
	return &Operation{
		Verb: "BrowserSession", Args: name, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			b, err := s.BrowserSession(ctx, hash(name), k.At(now))
			return found(b, err)
		},
		Apply: func(s *state, got *Answer) error {
			_, live := s.signedIn(name, now)
			return got.isThere(live)
		},
	}
}

func (w *World) listSessions() *Operation {
	subject, now := among(w, subjects...), w.Now
	return &Operation{
		Verb: "BrowserSessionsOf", Args: subject, Reads: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			all, err := s.BrowserSessionsOf(ctx, issuer, subject, k.At(now))
			return found(names(all, func(b storage.BrowserSession) string { return short(b.Hash) }), err)
		},
		Apply: func(s *state, got *Answer) error {
			want := sorted(s.sessions, func(b session) bool {
				return b.identity.Subject == subject && there(b.expires, now) && s.alive(b.identity, now)
			})
			for i := range want {
				want[i] = short(hash(want[i]))
			}
			slices.Sort(want)
			return got.lists(want)
		},
	}
}

// short names a session in a list.
func short(h storage.Hash) string { return fmt.Sprintf("%x", h[:4]) }

func (w *World) deleteSession() *Operation {
	name, browser, now := w.current(), w.cookie(), w.Now
	submitNext(w, func(f *flow) bool { return f.session == name })
	return &Operation{
		Verb: "DeleteBrowserSession", Args: name + " in " + browser,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			return done(s.DeleteBrowserSession(ctx, hash(name), []storage.Hash{hash(browser)}, k.At(now)))
		},
		Apply: func(s *state, got *Answer) error {
			if b, known := s.sessions[name]; known {
				delete(s.sessions, name)
				s.endFlows(now, func(f flow) bool { return f.browser == browser && f.identity.Subject == b.identity.Subject })
			}
			return got.isDone()
		},
	}
}

func (w *World) deleteSessions() *Operation {
	subject := among(w, subjects...)
	submitNext(w, func(f *flow) bool { return f.session != "" && f.identity.Subject == subject })
	return &Operation{
		Verb: "DeleteBrowserSessions", Args: subject,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			return done(s.DeleteBrowserSessions(ctx, issuer, subject))
		},
		Apply: func(s *state, got *Answer) error {
			maps.DeleteFunc(s.sessions, func(_ string, b session) bool { return b.identity.Subject == subject })
			return got.isDone()
		},
	}
}

// endFlow forgets who a flow's person is, and what they connected.
func (s *state) endFlow(id string, now time.Time) {
	maps.DeleteFunc(s.pending, func(_ string, p connectState) bool { return p.key.Owner == storage.FlowOwner(id) })
	for k := range s.connections {
		if k.Owner != storage.FlowOwner(id) {
			continue
		}
		c := s.connections[k]
		if _, live := s.liveConnection(k, now); live {
			if c.onExpiry != "" {
				s.revocations[c.onExpiry] = revocation{due: c.expires, expires: c.onExpiryExpires}
			}
			delete(s.connections, k)
		} else {
			s.queueExpired(c, now, true) // now, or by the sweep
		}
	}
	delete(s.flows, id)
}

// endFlows ends the pending flows that are meant.
func (s *state) endFlows(now time.Time, meant func(flow) bool) {
	for id, f := range s.flows {
		if there(f.expires, now) && !f.submitted && meant(f) {
			s.endFlow(id, now)
		}
	}
}

func (w *World) endSubjectFlows() *Operation {
	subject, now := among(w, subjects...), w.Now
	return &Operation{
		Verb: "EndFlows", Args: subject,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			return done(s.EndFlows(ctx, issuer, subject, k.At(now)))
		},
		Apply: func(s *state, got *Answer) error {
			s.endFlows(now, func(f flow) bool { return f.identity.Subject == subject })
			return got.isDone()
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
