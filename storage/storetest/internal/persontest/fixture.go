package persontest

import (
	"encoding/json"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// person is one who was identified now, in the session at the provider "s1".
func (f *fixture) person(name string) storage.Person {
	return storage.Person{
		Issuer: suite.Issuer, Subject: "oidc:company:" + name, Kind: "oidc:company", Name: name, Proof: "issuer", ID: "id of " + name,
		Claims: &storage.Claims{Email: name + "@example.com", Name: name, Groups: []string{"staff"}, Extra: map[string]json.RawMessage{"dept": json.RawMessage(`"r+d"`)}},
		Secret: []byte("sealed for " + name), SecretSession: "s1",
		SignOut:    &storage.SignOutHint{Session: "s1", Secret: []byte("sealed hint of " + name)},
		SignedInAt: f.Now, VerifiedAt: f.Now, DueAt: f.Now.Add(15 * time.Minute), ExpiresAt: f.Now.Add(100 * 24 * time.Hour),
	}
}

// save stores a person and returns what is stored.
func (f *fixture) save(p storage.Person) storage.Person {
	f.Helper()
	stored, v, err := f.Store.SavePerson(suite.Ctx(), storage.PersonLogin{Person: p}, f.Now)
	f.Verdict(v, err, storage.OK)
	return stored
}

func (f *fixture) update(p storage.Person, want storage.Verdict) storage.Person {
	f.Helper()
	stored, v, err := f.Store.UpdatePerson(suite.Ctx(), p, f.Now)
	f.Verdict(v, err, want)
	return stored
}

// stored checks what is kept of a person.
func (f *fixture) stored(want storage.Person) {
	f.Helper()
	got, err := f.Store.Person(suite.Ctx(), want.Issuer, want.Subject, f.Now)
	f.Must(err)
	f.Equal(got, want)
}

func (f *fixture) noPerson(subject string) {
	f.Helper()
	_, err := f.Store.Person(suite.Ctx(), suite.Issuer, subject, f.Now)
	f.WantError(err, storage.ErrNotFound)
}

// in is the identity that a login in a session at the provider yields.
func in(p storage.Person, session string) storage.Identity {
	id := p.Identity()
	id.ProviderSession = session
	return id
}

func (f *fixture) saveFlow(id string, who storage.Identity) storage.Verdict {
	f.Helper()
	flow := f.Flow(id)
	flow.Identity = who
	v, err := f.Store.SaveFlow(suite.Ctx(), flow, f.Now)
	f.Must(err)
	return v
}

func (f *fixture) submission(id string, who storage.Identity) storage.Submission {
	sub := f.Submission(id, "a")
	sub.Identity, sub.Grant.Identity = who, who
	return sub
}

// signIn takes an identity to a browser session, a grant that was redeemed, and
// a flow, all of that name.
func (f *fixture) signIn(name string, who storage.Identity) {
	f.Helper()
	f.Equal(f.saveFlow(name, who), storage.OK)
	v, err := f.Store.SubmitFlow(suite.Ctx(), f.submission(name, who))
	f.Verdict(v, err, storage.OK)
	res, err := f.Store.ClaimCode(suite.Ctx(), f.claim(name, who))
	f.Verdict(res.Verdict, err, storage.OK)
	f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession(name, who)))
	f.Equal(f.saveFlow("pending "+name, who), storage.OK)
}

func (f *fixture) claim(name string, who storage.Identity) storage.CodeClaim {
	c := f.Claim(name, "a")
	c.Issue.Access.Identity = who
	return c
}

func (f *fixture) rotation(name string, who storage.Identity, n int) storage.Rotation {
	r := f.Rotation(name, "a", n)
	r.Issue.Access.Identity = who
	return r
}

// lives tells whether what signIn made is there.
func (f *fixture) lives(name string, want bool) {
	f.Helper()
	f.AccessLives(name, 0, want)
	f.SignedIn(name, want)
	f.flowLives("pending "+name, want)
	_, _, err := f.Store.RefreshToken(suite.Ctx(), suite.Hash("refresh %s 0", name), f.Now)
	if want {
		f.Must(err)
	}
	grants, _, err := f.Store.Grants(suite.Ctx(), "", 100, f.Now)
	f.Must(err)
	there := false
	for _, g := range grants {
		there = there || g.ID == "g-"+name
	}
	f.Equal(there, want)
}

func (f *fixture) flowLives(id string, want bool) {
	f.Helper()
	_, err := f.Store.Flow(suite.Ctx(), id, f.Now)
	if err != nil && err != storage.ErrNotFound {
		f.Fatal(err)
	}
	f.Equal(err == nil, want)
}

func (f *fixture) end(e storage.PersonEnd, want storage.Verdict) storage.Revocation {
	f.Helper()
	e.Issuer, e.Now = suite.Issuer, f.Now
	rev, v, err := f.Store.EndPerson(suite.Ctx(), e)
	f.Verdict(v, err, want)
	return rev
}
