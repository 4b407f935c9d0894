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
func seesPerson(s *state, got *Answer, subject string) error {
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
			return cmp.Or(got.wants(storage.OK), seesPerson(s, got, subject))
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
			return cmp.Or(got.isThere(there(s.persons[subject].ExpiresAt, now)), seesPerson(s, got, subject))
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

// login is a person who was identified, and what begins as them: a flow, a browser
// session or nothing.
type login struct {
	person  storage.Person
	flowID  string
	flow    flow
	browser *signIn
	value   *storage.SiteValue
}

func (w *World) login() login {
	l := login{person: w.personAs(among(w, "carol", "dave"))}
	p := &l.person
	if w.one(2) {
		p.Secret, p.SecretSession = []byte(w.fresh("secret-")), among(w, "s1", "s2")
	}
	if w.one(8) {
		p.Proof = "another"
	}
	as := storage.Identity{Kind: p.Kind, Subject: p.Subject, Proof: p.Proof}
	switch {
	case w.one(3):
		l.flowID, l.flow = w.aFlow(), flow{identity: as, browser: w.cookie(), expires: w.ends(15 * time.Minute)}
	case w.one(2):
		l.browser = w.signIn(as)
	}
	if w.one(3) {
		name, v := w.siteValue()
		w.put[name] = true
		l.value = &v
	}
	return l
}

func (l *login) String() string {
	text := fmt.Sprintf("%s%s, %s, session %q", l.person.Subject, l.person.Proof, l.person.ID, l.person.SecretSession)
	if l.flowID != "" {
		text += ", begins " + l.flowID
	}
	if l.browser != nil {
		text += ", signs in " + l.browser.String()
	}
	if l.value != nil {
		text += ", stores " + l.value.Name + ", " + l.value.Text
	}
	return text
}

func (l *login) toStore(k Clock, now time.Time) storage.PersonLogin {
	out := storage.PersonLogin{Person: personAt(l.person, k)}
	if l.flowID != "" {
		f := l.flow.toStore(l.flowID, k)
		out.Flow = &f
	}
	if l.browser != nil {
		b := l.browser.toStore(k, now)
		out.Browser, out.Cookie = &b, func(storage.Identity) storage.Hash { return b.Hash }
	}
	if l.value != nil {
		v := *l.value
		v.ExpiresAt = k.At(v.ExpiresAt)
		out.OfSession = &v
	}
	return out
}

// as returns who the person is who is kept.
func (l *login) as(kept storage.Person) storage.Identity {
	id := kept.Identity()
	id.Claims, id.ProviderSession = nil, l.person.SecretSession
	return id
}

func (w *World) savePerson() *Operation {
	l, now := w.login(), w.Now
	return &Operation{
		Verb: "SavePerson", Args: l.String(), Saw: w.noteLogin(l),
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			stored, v, err := s.SavePerson(ctx, l.toStore(k, now), k.At(now))
			return verdict(v, backFrom(stored, k), err)
		},
		Apply: func(s *state, got *Answer) error {
			before := s.persons[l.person.Subject]
			next := l.person.After(before.Person, now)
			if next.Ended(l.person.SecretSession) {
				return got.wants(storage.SignedOut)
			}
			if l.flowID != "" {
				f := l.flow
				f.identity = l.as(next)
				if v := s.saveFlow(l.flowID, f, now); v != storage.OK {
					return got.wants(v)
				}
			}
			if l.browser != nil {
				b := *l.browser
				b.identity = l.as(next)
				s.createSession(&b, now)
			}
			if l.value != nil {
				s.values[l.value.Name] = siteValue{l.value.Text, l.value.ExpiresAt}
			}
			revision := number{}
			if there(before.ExpiresAt, now) {
				revision = before.revision.next()
			}
			s.keep(next, revision)
			return cmp.Or(got.wants(storage.OK), seesPerson(s, got, l.person.Subject))
		},
	}
}

// noteLogin remembers what came of a login that the store answered.
func (w *World) noteLogin(l login) func(Answer) {
	return func(got Answer) {
		w.notePerson(got)
		w.noteSignIn(l.browser)(got)
		if l.value != nil {
			w.noteValue(*l.value)(got)
		}
		p, is := got.value.(seenPerson)
		if !is || got.err != nil || got.verdict != storage.OK {
			return
		}
		if l.browser != nil {
			l.browser.identity = l.as(p.Person)
		}
		if l.flowID != "" {
			f := l.flow
			f.identity = l.as(p.Person)
			w.flowAs[l.flowID] = &f
		}
	}
}
