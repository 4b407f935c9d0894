package persontest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// login is somebody who comes from a session at the provider, under an ID of their own
// if they are not there yet.
func (f *fixture) login(name, session string) storage.PersonLogin {
	p := f.person(name)
	p.ID, p.SecretSession = "another "+name, session
	return storage.PersonLogin{
		Person: p, OfSession: &storage.SiteValue{Issuer: suite.Issuer, Name: "session " + session, Text: p.Subject, ExpiresAt: p.ExpiresAt},
	}
}

// inFlow is a login in a flow.
func (f *fixture) inFlow(l storage.PersonLogin, id string) storage.PersonLogin {
	flow := f.Flow(id)
	flow.Identity, flow.Browser = storage.Identity{Kind: l.Person.Kind, Subject: l.Person.Subject, Proof: l.Person.Proof}, suite.Hash("browser")
	l.Flow = &flow
	return l
}

// atPages is a login that signs a browser in. The name of the session has whose it is.
func (f *fixture) atPages(l storage.PersonLogin, name string) storage.PersonLogin {
	b := f.BrowserSession("of nobody", storage.Identity{Kind: l.Person.Kind, Subject: l.Person.Subject, Proof: l.Person.Proof})
	l.Browser = &b
	l.Cookie = func(id storage.Identity) storage.Hash {
		return suite.Hash("cookie %s of %s from %s", name, id.Person, id.ProviderSession)
	}
	return l
}

func (f *fixture) logsIn(l storage.PersonLogin, want storage.Verdict) storage.Person {
	f.Helper()
	p, v, err := f.Store.SavePerson(suite.Ctx(), l, f.Now)
	f.Verdict(v, err, want)
	return p
}

// noValue checks that nothing is stored of a session at the provider.
func (f *fixture) noValue(session string) {
	f.Helper()
	_, err := f.Store.SiteValue(suite.Ctx(), suite.Issuer, "session "+session, f.Now)
	f.WantError(err, storage.ErrNotFound)
}

var loginTests = map[string]func(*fixture){
	"a flow begins as the person who is kept": func(f *fixture) {
		for round, wantID := range []string{"another alice", "another alice", "id of alice"} {
			if round == 2 {
				f.end(storage.PersonEnd{Subject: "oidc:company:alice"}, storage.OK)
				f.save(f.person("alice"))
			}
			id, session := fmt.Sprint(round), fmt.Sprint("s", round)
			p := f.logsIn(f.inFlow(f.login("alice", session), id), storage.OK)
			f.Equal(p.ID, wantID)
			f.stored(p)
			flow, err := f.Store.Flow(suite.Ctx(), id, f.Now)
			f.Must(err)
			want := *f.inFlow(f.login("alice", session), id).Flow
			want.Identity = in(p, session)
			f.Equal(flow, want)
			v, err := f.Store.SiteValue(suite.Ctx(), suite.Issuer, "session "+session, f.Now)
			f.Must(err)
			f.Equal(v, *f.login("alice", session).OfSession)
		}
		f.end(storage.PersonEnd{Subject: "oidc:company:alice", Session: "s2"}, storage.OK)
		f.flowLives("2", false)
	},
	"a browser is signed in as the person who is kept": func(f *fixture) {
		f.save(f.person("alice"))
		l := f.atPages(f.login("alice", "s2"), "1")
		l.Person.Secret = nil // what is kept came from another session
		p := f.logsIn(l, storage.OK)
		f.Equal([]any{p.ID, p.SecretSession}, []any{"id of alice", "s1"})
		b, err := f.Store.BrowserSession(suite.Ctx(), suite.Hash("cookie 1 of id of alice from s2"), f.Now)
		f.Must(err)
		want := l.Browser.BrowserSession
		want.Hash, want.Identity = b.Hash, in(p, "s2")
		f.Equal(b, want)
		f.SignedIn("of nobody", false)
		f.Equal(f.saveFlow("1", in(p, "s1")), storage.OK)
		next := f.atPages(f.login("bob", "s3"), "2")
		next.Browser.Replaces, next.Browser.Quota = b.Hash, &storage.Quota{Key: suite.Hash("here"), Max: 1}
		f.logsIn(next, storage.OK)
		f.SignedIn("1 of id of alice from s2", false)
		f.SignedIn("2 of another bob from s3", true)
		f.After(time.Second)
		again := f.atPages(f.login("bob", "s4"), "3")
		again.Browser.Quota = next.Browser.Quota
		f.logsIn(again, storage.OK)
		f.SignedIn("2 of another bob from s3", false)
		f.SignedIn("3 of another bob from s4", true)
	},
	"nothing was changed unless it is OK": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.Equal(f.saveFlow("1", suite.Bob), storage.OK)
		sub := f.Submission("1", "a")
		sub.Identity, sub.Grant, sub.Code = suite.Bob, nil, nil
		v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
		f.Verdict(v, err, storage.OK)
		f.Equal(f.logsIn(f.inFlow(f.login("alice", "s2"), "1"), storage.Submitted), storage.Person{})
		f.stored(p)
		f.noValue("s2")
		f.logsIn(f.inFlow(f.login("carol", "s3"), "1"), storage.Submitted)
		f.noPerson("oidc:company:carol")

		f.end(storage.PersonEnd{Subject: p.Subject, Session: "s2"}, storage.OK)
		p, err = f.Store.Person(suite.Ctx(), suite.Issuer, p.Subject, f.Now)
		f.Must(err)
		f.logsIn(f.inFlow(f.login("alice", "s2"), "2"), storage.SignedOut)
		f.logsIn(f.atPages(f.login("alice", "s2"), "2"), storage.SignedOut)
		f.stored(p)
		f.noValue("s2")
		f.flowLives("2", false)
		f.SignedIn("2 of id of alice from s2", false)
	},
	"what somebody else connected in the flow goes": func(f *fixture) {
		f.Equal(f.saveFlow("1", suite.Bob), storage.OK)
		made := f.Put(f.FlowConnection("1", "mail"))
		f.logsIn(f.inFlow(f.login("alice", "s1"), "1"), storage.OK)
		f.NoConnection(made)
		made = f.Put(f.FlowConnection("1", "mail"))
		f.logsIn(f.inFlow(f.login("alice", "s2"), "1"), storage.OK)
		f.Stored(made)
	},
	"only what belongs together": func(f *fixture) {
		for name, wrong := range map[string]func(l *storage.PersonLogin){
			"both":                         func(l *storage.PersonLogin) { *l = f.atPages(*l, "1") },
			"somebody else's flow":         func(l *storage.PersonLogin) { l.Flow.Identity = suite.Bob },
			"a flow at another issuer":     func(l *storage.PersonLogin) { l.Flow.Issuer = suite.OtherIssuer },
			"a flow that was submitted":    func(l *storage.PersonLogin) { l.Flow.Submitted = true },
			"a flow that rests on another": func(l *storage.PersonLogin) { l.Flow.Session = suite.Hash("cookie 1") },
			"a value of another issuer":    func(l *storage.PersonLogin) { l.OfSession.Issuer = suite.OtherIssuer },
			"somebody else's browser": func(l *storage.PersonLogin) {
				*l = f.atPages(*l, "1")
				l.Flow, l.Browser.Identity = nil, suite.Bob
			},
			"a browser without a cookie": func(l *storage.PersonLogin) {
				*l = f.atPages(*l, "1")
				l.Flow, l.Cookie = nil, nil
			},
		} {
			l := f.inFlow(f.login("alice", "s1"), "1")
			wrong(&l)
			if _, _, err := f.Store.SavePerson(suite.Ctx(), l, f.Now); err == nil {
				f.Errorf("%s: no error", name)
			}
		}
		f.noPerson("oidc:company:alice")
		f.noValue("s1")
	},
}

var loginRaces = map[string]func(*fixture){
	"a flow that is submitted becomes nobody else's": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			f.Equal(f.saveFlow(id, suite.Bob), storage.OK)
			var refused [suite.Racers]bool
			f.Together(func(n int) {
				if n == suite.Racers/2 {
					sub := f.Submission(id, "a")
					sub.Identity, sub.Grant.Identity = suite.Bob, suite.Bob
					v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
					f.Raced(v, err, storage.OK, storage.Changed)
					return
				}
				who := fmt.Sprint(round, " ", n)
				_, v, err := f.Store.SavePerson(suite.Ctx(), f.inFlow(f.login(who, "s1"), id), f.Now)
				refused[n] = f.Raced(v, err, storage.OK, storage.Submitted) == storage.Submitted
			})
			flow, err := f.Store.Flow(suite.Ctx(), id, f.Now)
			f.Must(err)
			f.Equal(flow.Submitted, flow.Identity.Same(suite.Bob))
			for n, refused := range refused {
				if refused {
					f.noPerson(fmt.Sprint("oidc:company:", round, " ", n))
				}
			}
		}
	},
	"what begins with a login ends with the person": func(f *fixture) {
		for range suite.Rounds {
			f.Together(func(n int) {
				if n%4 == 0 {
					_, v, err := f.Store.EndPerson(suite.Ctx(), storage.PersonEnd{Issuer: suite.Issuer, Subject: "oidc:company:alice", Now: f.Now})
					f.Raced(v, err, storage.OK)
					return
				}
				l := f.login("alice", "s1")
				l.Person.ID = fmt.Sprint(n)
				if l = f.atPages(l, fmt.Sprint(n)); n%4 == 1 {
					l.Browser, l.Cookie = nil, nil
					l = f.inFlow(l, fmt.Sprint(n))
				}
				_, v, err := f.Store.SavePerson(suite.Ctx(), l, f.Now)
				f.Raced(v, err, storage.OK)
			})
			f.end(storage.PersonEnd{Subject: "oidc:company:alice"}, storage.OK)
			of, err := f.Store.BrowserSessionsOf(suite.Ctx(), suite.Issuer, "oidc:company:alice", f.Now)
			f.Must(err)
			f.Equal(len(of), 0)
			for n := range suite.Racers {
				f.flowLives(fmt.Sprint(n), false)
			}
		}
	},
}
