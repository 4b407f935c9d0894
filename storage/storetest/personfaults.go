package storetest

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

func (f *fixture) person() storage.Person {
	return storage.Person{
		Issuer: suite.Issuer, Subject: suite.Alice.Subject, ID: "p", Secret: []byte("sealed"), SecretSession: "s1",
		VerifiedAt: f.Now, DueAt: f.Now.Add(time.Minute), ExpiresAt: f.Now.Add(24 * time.Hour),
	}
}

// personCalls is one call of each method of storage.PersonStore.
func (f *fixture) personCalls(c context.Context) map[string]func() error {
	s := f.Store
	return map[string]func() error{
		"Person":       func() error { return second(s.Person(c, suite.Issuer, suite.Alice.Subject, f.Now)) },
		"Subjects":     func() error { return list(s.Subjects(c, "", 10, f.Now)) },
		"SavePerson":   func() error { _, _, err := s.SavePerson(c, storage.PersonLogin{Person: f.person()}, f.Now); return err },
		"UpdatePerson": func() error { _, _, err := s.UpdatePerson(c, f.person(), f.Now); return err },
		"DuePersons":   func() error { return second(s.DuePersons(c, suite.Issuer, 1, f.Now, f.Now.Add(1))) },
		"EndPerson": func() error {
			_, _, err := s.EndPerson(c, storage.PersonEnd{Issuer: suite.Issuer, Subject: suite.Alice.Subject, Now: f.Now})
			return err
		},
	}
}

// faultyPersonVerbs are as faultyVerbs.
var faultyPersonVerbs = map[string]faultyVerb{
	"SavePerson": {
		func(*fixture) {},
		func(f *fixture) error { return f.savesPerson(f.person()) },
	},
	"SavePerson again": {
		func(f *fixture) { f.Must(f.savesPerson(f.person())); f.After(time.Second) },
		func(f *fixture) error { return f.savesPerson(f.person()) },
	},
	"SavePerson with a flow": {
		func(f *fixture) { f.Must(f.savesPerson(f.person())); f.After(time.Second) },
		func(f *fixture) error {
			flow := f.Flow("2")
			flow.Identity = f.person().Identity()
			return f.logsIn(storage.PersonLogin{Person: f.person(), OfSession: f.sessionOf(), Flow: &flow})
		},
	},
	"SavePerson with a browser session": {
		func(f *fixture) {
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		},
		func(f *fixture) error {
			b := f.BrowserSession("2", f.person().Identity())
			b.Replaces = suite.Hash("cookie 1")
			cookie := func(storage.Identity) storage.Hash { return b.Hash }
			return f.logsIn(storage.PersonLogin{Person: f.person(), OfSession: f.sessionOf(), Browser: &b, Cookie: cookie})
		},
	},
	"UpdatePerson": {
		func(f *fixture) { f.Must(f.savesPerson(f.person())) },
		func(f *fixture) error {
			p := f.person()
			p.Revision, p.DueAt = 1, f.Now.Add(time.Hour)
			_, v, err := f.Store.UpdatePerson(suite.Ctx(), p, f.Now)
			return suite.Wants(storage.OK)(v, err)
		},
	},
	"DuePersons": {
		func(f *fixture) { f.Must(f.savesPerson(f.person())); f.After(time.Minute) },
		func(f *fixture) error {
			return second(f.Store.DuePersons(suite.Ctx(), suite.Issuer, 10, f.Now, f.Now.Add(time.Minute)))
		},
	},
	"EndPerson": {
		func(f *fixture) {
			f.Must(f.savesPerson(f.person()))
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
			f.Identified("2")
			f.Put(f.Abandoned("2", "notion"))
		},
		func(f *fixture) error { return f.endsPerson("") },
	},
	"EndPerson of a session": {
		func(f *fixture) { f.Must(f.savesPerson(f.person())) },
		func(f *fixture) error { return f.endsPerson("s1") },
	},
}

func (f *fixture) savesPerson(p storage.Person) error {
	return f.logsIn(storage.PersonLogin{Person: p})
}

func (f *fixture) sessionOf() *storage.SiteValue {
	v := f.SiteValue("session s1")
	return &v
}

func (f *fixture) logsIn(l storage.PersonLogin) error {
	_, v, err := f.Store.SavePerson(suite.Ctx(), l, f.Now)
	return suite.Wants(storage.OK)(v, err)
}

func (f *fixture) endsPerson(session string) error {
	_, v, err := f.Store.EndPerson(suite.Ctx(), storage.PersonEnd{Issuer: suite.Issuer, Subject: suite.Alice.Subject, Session: session, Now: f.Now})
	return suite.Wants(storage.OK)(v, err)
}
