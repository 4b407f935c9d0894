package persontest

import (
	"fmt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var endTests = map[string]func(*fixture){
	"all that a person has ends for good J10": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.signIn("1", in(p, "s1"))
		f.signIn("2", in(p, ""))
		f.signIn("bob", in(f.save(f.person("bob")), "s1"))
		abandoned := f.Put(f.Abandoned("pending 1", "notion"))
		rev := f.end(storage.PersonEnd{Subject: p.Subject}, storage.OK)
		f.Equal(len(rev.GrantIDs), 2)
		f.Equal(len(rev.AccessTokens), 2)
		f.noPerson(p.Subject)
		f.over("1", "2")
		f.lives("1", false)
		f.lives("2", false)
		f.lives("bob", true)
		f.NoConnection(abandoned)
		f.Equal(f.end(storage.PersonEnd{Subject: p.Subject}, storage.OK), storage.Revocation{})

		again := f.person("alice")
		again.ID = "another"
		f.save(again)
		f.lives("1", false)
		f.Rotate(f.rotation("1", in(p, "s1"), 1), storage.Expired)
	},
	"what is written late is absent, also when the person comes back": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.end(storage.PersonEnd{Subject: p.Subject}, storage.OK)
		f.begin("late", in(p, "s1"))
		f.lives("late", false)
		again := f.person("alice")
		again.ID = "another"
		f.save(again)
		f.lives("late", false)
	},
	"not who came back under another ID": func(f *fixture) {
		late := f.save(f.person("alice"))
		f.end(storage.PersonEnd{Subject: late.Subject}, storage.OK)
		again := f.person("alice")
		again.ID = "another"
		again = f.save(again)
		f.Equal(again.Revision, late.Revision)
		f.end(storage.PersonEnd{Subject: late.Subject, ID: late.ID, Revision: late.Revision}, storage.Changed)
		f.stored(again)
		f.end(storage.PersonEnd{Subject: again.Subject, ID: again.ID, Revision: again.Revision}, storage.OK)
		f.noPerson(again.Subject)
	},
	"one session at the provider": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.signIn("1", in(p, "s1"))
		f.signIn("2", in(p, "s2"))
		f.signIn("none", in(p, ""))
		f.signIn("bob", in(f.save(f.person("bob")), "s1"))
		rev := f.end(storage.PersonEnd{Subject: p.Subject, Session: "s1"}, storage.OK)
		f.Equal(len(rev.GrantIDs), 2)
		f.lives("1", false)
		f.lives("2", true)
		f.lives("none", false) // it may be of this session
		f.lives("bob", true)
		p, err := f.Store.Person(suite.Ctx(), suite.Issuer, p.Subject, f.Now)
		f.Must(err)
		f.Equal([]any{p.Secret, p.SecretSession, p.SignOut, p.EndedSessions}, []any{[]byte(nil), "", (*storage.SignOutHint)(nil), []string{"s1"}})
		f.begin("late", in(p, "s1"))
		f.SignedIn("late", false)
		f.flowLives("pending late", false)
	},
	"a login in a session that ended meanwhile": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.end(storage.PersonEnd{Subject: p.Subject, Session: "s2"}, storage.OK)
		late := f.person("alice")
		late.SecretSession = "s2"
		_, v, err := f.Store.SavePerson(suite.Ctx(), storage.PersonLogin{Person: late}, f.Now)
		f.Verdict(v, err, storage.SignedOut)
		f.save(f.person("alice"))
	},
	"the last of many sessions that ended": func(f *fixture) {
		p := f.save(f.person("alice"))
		for i := range storage.MaxEndedSessions + 1 {
			f.end(storage.PersonEnd{Subject: p.Subject, Session: fmt.Sprint(i)}, storage.OK)
		}
		p, err := f.Store.Person(suite.Ctx(), suite.Issuer, p.Subject, f.Now)
		f.Must(err)
		f.Equal([]any{len(p.EndedSessions), p.Ended("0"), p.Ended("1"), p.Ended(fmt.Sprint(storage.MaxEndedSessions))},
			[]any{storage.MaxEndedSessions, false, true, true})
	},
	"at its revision": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.signIn("1", in(p, "s1"))
		f.end(storage.PersonEnd{Subject: p.Subject, ID: p.ID, Revision: p.Revision + 1}, storage.Changed)
		f.end(storage.PersonEnd{Subject: "oidc:company:nobody", Revision: 1}, storage.Changed)
		f.lives("1", true)
		f.end(storage.PersonEnd{Subject: p.Subject, ID: p.ID, Revision: p.Revision}, storage.OK)
		f.lives("1", false)
	},
}

// over checks that grants are revoked or not there.
func (f *fixture) over(ids ...string) {
	f.Helper()
	for _, id := range ids {
		g, err := f.Store.Grant(suite.Ctx(), "g-"+id, f.Now)
		if err == nil && g.RevokedAt.IsZero() {
			f.Errorf("grant %s is valid", id)
		}
	}
}

var raceTests = map[string]func(*fixture){
	"one update wins": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.Race(func(int) storage.Verdict {
			_, v, err := f.Store.UpdatePerson(suite.Ctx(), p, f.Now)
			return f.Raced(v, err, storage.OK, storage.Changed)
		})
		p.Revision++
		f.stored(p)
	},
	"logins count up": func(f *fixture) {
		f.Together(func(n int) {
			p := f.person("alice")
			p.ID = fmt.Sprint(n)
			_, v, err := f.Store.SavePerson(suite.Ctx(), storage.PersonLogin{Person: p}, f.Now)
			f.Raced(v, err, storage.OK)
		})
		p, err := f.Store.Person(suite.Ctx(), suite.Issuer, "oidc:company:alice", f.Now)
		f.Must(err)
		f.Equal(p.Revision, uint64(suite.Racers))
	},
	"nothing outlives the end of a person": func(f *fixture) { f.raceWithEnd("") },
	"nothing outlives the end of somebody who has no person": func(f *fixture) {
		who := f.person("alice").Identity()
		who.Person, who.ProviderSession, who.Claims = "", "", nil
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("signed in", who)))
		f.Together(func(n int) {
			if n == suite.Racers/2 {
				_, v, err := f.Store.EndPerson(suite.Ctx(), storage.PersonEnd{Issuer: suite.Issuer, Subject: who.Subject, Now: f.Now})
				f.Raced(v, err, storage.OK)
				return
			}
			flow := f.Flow(fmt.Sprint(n)) // that rests on the browser session
			flow.Identity, flow.Session = who, suite.Hash("cookie signed in")
			v, err := f.Store.SaveFlow(suite.Ctx(), flow, f.Now)
			f.Raced(v, err, storage.OK, storage.SignedOut)
			sub := f.submission(fmt.Sprint(n), who)
			sub.Session = flow.Session
			v, err = f.Store.SubmitFlow(suite.Ctx(), sub)
			f.Raced(v, err, storage.OK, storage.Unknown, storage.SignedOut)
		})
		of, err := f.Store.GrantsOf(suite.Ctx(), suite.Issuer, who.Subject, f.Now)
		f.Must(err)
		f.Equal(len(of), 0)
	},
	"nothing outlives the end of a session": func(f *fixture) { f.raceWithEnd("s1") },
}

// raceWithEnd lets people sign in while the person, or the session, ends.
func (f *fixture) raceWithEnd(session string) {
	p := f.save(f.person("alice"))
	who := in(p, "s1")
	f.Together(func(n int) {
		if n == suite.Racers/2 {
			_, v, err := f.Store.EndPerson(suite.Ctx(), storage.PersonEnd{Issuer: suite.Issuer, Subject: p.Subject, Session: session, Now: f.Now})
			f.Raced(v, err, storage.OK)
			return
		}
		name := fmt.Sprint(n)
		flow := f.Flow(name)
		flow.Identity = who
		if v, err := f.Store.SaveFlow(suite.Ctx(), flow, f.Now); err != nil || v != storage.OK {
			f.Errorf("SaveFlow: %v, %v", v, err)
		}
		sub := f.submission(name, who)
		b := f.BrowserSession(name, who)
		sub.Browser = &b
		v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
		f.Raced(v, err, storage.OK, storage.Unknown)
		res, err := f.Store.ClaimCode(suite.Ctx(), f.claim(name, who))
		f.Raced(res.Verdict, err, storage.OK, storage.Unknown, storage.Expired, storage.Revoked)
	})
	for n := range suite.Racers {
		name := fmt.Sprint(n)
		f.AccessLives(name, 0, false)
		f.SignedIn(name, false)
		f.flowLives(name, false)
	}
	of, err := f.Store.GrantsOf(suite.Ctx(), suite.Issuer, p.Subject, f.Now)
	f.Must(err)
	f.Equal(len(of), 0)
}
