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

// seenPerson is a person in an answer.
type seenPerson struct{ storage.Person }

func (p seenPerson) String() string { return fmt.Sprintf("(%s, revision %d)", p.ID, p.Revision) }

func (w *World) notePerson(got Answer) {
	p, is := got.value.(seenPerson)
	if is && got.err == nil && p.ID != "" {
		w.persons[p.Subject] = p.Person
	}
}

// seesPerson compares a person in an answer with the one that there is.
func (s *state) seesPerson(got *Answer, subject string) error {
	if got == nil || got.err != nil {
		return nil
	}
	p, seen := s.persons[subject], got.value.(seenPerson)
	if seen.ID == "" {
		return nil
	}
	if !p.revision.see(seen.Revision) {
		return fmt.Errorf("revision %d, want %+v", seen.Revision, p.revision)
	}
	s.persons[subject] = p
	return cmp.Or(equal("ID", seen.ID, p.ID), equal("secret", string(seen.Secret), string(p.Secret)), same("ended sessions", seen.EndedSessions, p.EndedSessions))
}

// personAs is a person as whoever asked their provider stores them.
func (w *World) personAs(subject string) storage.Person {
	return storage.Person{
		Issuer: issuer, Subject: subject, Kind: "oidc", ID: w.fresh("person-"), SignedInAt: w.Now, VerifiedAt: w.Now,
		DueAt: w.ends(time.Minute), ExpiresAt: w.ends(30 * 24 * time.Hour),
	}
}

func personAt(p storage.Person, k Clock) storage.Person {
	p.SignedInAt, p.VerifiedAt, p.DueAt, p.ExpiresAt = k.At(p.SignedInAt), k.At(p.VerifiedAt), k.At(p.DueAt), k.At(p.ExpiresAt)
	return p
}

// backFrom is personAt the other way.
func backFrom(p storage.Person, k Clock) seenPerson {
	return seenPerson{personAt(p, Clock{Ahead: -k.Ahead})}
}

func (w *World) savePerson() *Operation {
	p, now := w.personAs(among(w, "carol", "dave")), w.Now
	if w.one(2) {
		p.Secret, p.SecretSession = []byte(w.fresh("secret-")), among(w, "s1", "s2")
	}
	if w.one(8) {
		p.Proof = "another"
	}
	return &Operation{
		Verb: "SavePerson", Args: fmt.Sprintf("%s%s, %s, session %q", p.Subject, p.Proof, p.ID, p.SecretSession), Saw: w.notePerson,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			stored, v, err := s.SavePerson(ctx, personAt(p, k), k.At(now))
			return verdict(v, backFrom(stored, k), err)
		},
		Apply: func(s *state, got *Answer) error {
			before := s.persons[p.Subject]
			next := p.After(before.Person, now)
			if next.Ended(p.SecretSession) {
				return got.wants(storage.SignedOut)
			}
			revision := number{}
			if there(before.ExpiresAt, now) {
				revision = before.revision.next()
			}
			s.keep(next, revision)
			return cmp.Or(got.wants(storage.OK), s.seesPerson(got, p.Subject))
		},
	}
}

func (s *state) keep(p storage.Person, revision number) {
	p.Revision = 0
	s.persons[p.Subject] = person{p, revision}
}

func (w *World) updatePerson() *Operation {
	subject, now := among(w, "carol", "dave"), w.Now
	p, known := w.persons[subject]
	if !known {
		p = w.personAs(subject)
	}
	p.DueAt, p.ExpiresAt = w.ends(time.Minute), w.ends(30*24*time.Hour)
	return &Operation{
		Verb: "UpdatePerson", Args: fmt.Sprintf("%s, %s, revision %d", p.Subject, p.ID, p.Revision), Saw: w.notePerson,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			stored, v, err := s.UpdatePerson(ctx, personAt(p, k), k.At(now))
			return verdict(v, backFrom(stored, k), err)
		},
		Apply: func(s *state, got *Answer) error {
			before := s.persons[subject]
			switch {
			case !there(before.ExpiresAt, now):
				return got.wants(storage.Unknown)
			case before.ID != p.ID || !before.revision.is(p.Revision):
				return got.wants(storage.Changed)
			}
			s.keep(p, before.revision.next())
			return cmp.Or(got.wants(storage.OK), s.seesPerson(got, subject))
		},
	}
}

func (w *World) readPerson() *Operation {
	subject, now := among(w, "carol", "dave"), w.Now
	return &Operation{
		Verb: "Person", Args: subject, Reads: true, Saw: w.notePerson,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			p, err := s.Person(ctx, issuer, subject, k.At(now))
			return found(backFrom(p, k), err)
		},
		Apply: func(s *state, got *Answer) error {
			return cmp.Or(got.isThere(there(s.persons[subject].ExpiresAt, now)), s.seesPerson(got, subject))
		},
	}
}

func (w *World) duePersons() *Operation {
	now, retry := w.Now, w.ends(time.Minute)
	return &Operation{
		Verb: "DuePersons",
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			all, err := s.DuePersons(ctx, issuer, 100, k.At(now), k.At(retry))
			return found(names(all, func(p storage.Person) string { return p.Subject }), err)
		},
		Apply: func(s *state, got *Answer) error {
			var due []string
			for _, subject := range slices.Sorted(maps.Keys(s.persons)) {
				p := s.persons[subject]
				if p.DueAt.After(now) || p.DueAt.IsZero() || !there(p.ExpiresAt, now) {
					continue
				}
				due = append(due, subject)
				p.DueAt, p.revision = retry, p.revision.next()
				s.persons[subject] = p
			}
			return got.lists(append([]string{}, due...))
		},
	}
}

func (w *World) endPerson() *Operation {
	e := storage.PersonEnd{Issuer: issuer, Subject: among(w, subjects...), Now: w.Now}
	known, isKnown := w.persons[e.Subject]
	if isKnown && w.one(2) {
		e.Session = among(w, "s1", "s2")
	}
	if isKnown && w.one(3) && there(known.ExpiresAt, w.Now) {
		e.ID, e.Revision = known.ID, known.Revision
	}
	return &Operation{
		Verb: "EndPerson", Args: fmt.Sprintf("%s, session %q, revision %d", e.Subject, e.Session, e.Revision),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			end := e
			end.Now = k.At(e.Now)
			rev, v, err := s.EndPerson(ctx, end)
			return verdict(v, revoked{rev}, err)
		},
		Apply: func(s *state, got *Answer) error {
			p, found := s.persons[e.Subject]
			unseen := p.revision.n == 0 && got != nil && got.verdict == storage.OK
			if e.Revision != 0 && (p.ID != e.ID || !p.revision.is(e.Revision) && !(unseen && p.revision.see(e.Revision))) {
				return got.wants(storage.Changed)
			}
			wrong := s.revokeAll(func(_ string, g grant) bool { return e.Ends(issuer, g.identity) }, e.Now, got)
			maps.DeleteFunc(s.sessions, func(_ string, b session) bool { return e.Ends(issuer, b.identity) })
			s.endFlows(e.Now, func(f flow) bool { return e.Ends(issuer, f.identity) })
			switch {
			case found && e.Session == "":
				delete(s.persons, e.Subject)
			case found:
				s.keep(e.Mark(p.Person), p.revision.next())
			}
			return cmp.Or(got.wants(storage.OK), wrong)
		},
	}
}
