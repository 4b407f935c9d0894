package sealtest

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var sealedTests = map[string]func(*fixture){
	"all of it is shown, with its context": func(f *fixture) {
		f.fill()
		f.Equal(f.shown(100), everything())
	},
	"page by page": func(f *fixture) {
		f.fill()
		for limit := 1; limit < 9; limit++ {
			f.Equal(f.shown(limit), everything())
		}
	},
	"nothing is sealed in an empty store": func(f *fixture) {
		next, err := f.Store.ReplaceSealed(suite.Ctx(), "", 10, func(storage.SealedValue) []byte { return nil })
		f.Must(err)
		f.Equal(next, "")
	},
	"what is replaced is what is there from then on": func(f *fixture) {
		f.fill()
		f.replaceAll()
		want := everything()
		for i, line := range want {
			want[i] = strings.Replace(line, " = ", " = anew ", 1)
		}
		slices.Sort(want)
		f.Equal(f.shown(100), want)
		_, err := f.Store.ReplaceSealed(suite.Ctx(), "", 100, func(v storage.SealedValue) []byte {
			f.Equal(suite.AnotherSeal(v), []byte(nil))
			return nil
		})
		f.Must(err)
	},
	"nothing else changes": func(f *fixture) {
		f.fill()
		k := suite.ConnectionKey("alice", "github")
		connection, err := f.Store.Connection(suite.Ctx(), k, f.Now)
		f.Must(err)
		leased := f.Lease(connection, "holder", storage.OK)
		person, err := f.Store.Person(suite.Ctx(), suite.Issuer, "oidc:company:alice", f.Now)
		f.Must(err)
		f.replaceAll()
		leased.Secret = append([]byte("anew "), leased.Secret...)
		f.Stored(leased)
		person.Secret, person.SignOut.Secret = append([]byte("anew "), person.Secret...), append([]byte("anew "), person.SignOut.Secret...)
		after, err := f.Store.Person(suite.Ctx(), suite.Issuer, "oidc:company:alice", f.Now)
		f.Must(err)
		f.Equal(after, person)
		state := f.ClaimConnectState("trip", storage.OK)
		if !strings.HasPrefix(string(state.Secret), "anew ") {
			f.Errorf("the connect state has %q", state.Secret)
		}
		due, err := f.Store.DueRevocations(suite.Ctx(), suite.Issuer, 10, f.Now.Add(time.Hour), f.Now.Add(2*time.Hour))
		f.Must(err)
		if len(due) != 1 || !strings.HasPrefix(string(due[0].Secret), "anew ") {
			f.Errorf("the queue has %+v", due)
		}
		plain := f.SiteValue("plain")
		got, err := f.Store.SiteValue(suite.Ctx(), plain.Issuer, plain.Name, f.Now)
		f.Must(err)
		f.Equal(got, plain)
		// Who refreshes goes on, and ends the lease.
		leased.Secret = []byte("refreshed")
		_, v, err := f.Store.PutConnection(suite.Ctx(), leased, f.Now)
		f.Verdict(v, err, storage.OK)
	},
	"it is kept for as long as it would have been": func(f *fixture) {
		f.fill()
		f.replaceAll()
		n, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Equal(n, 0)
		f.After(200 * time.Hour) // of what fill stores, an account, a registration and site values have no end
		_, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		var kinds []string
		for _, line := range f.shown(100) {
			kind, _, _ := strings.Cut(line, " ")
			kinds = append(kinds, kind)
		}
		f.Equal(kinds, []string{"catalog", "connection", "registration", "signing_keys", "traces"})
	},
	"who replaces by what is sealed finds it changed": func(f *fixture) {
		c := f.UpstreamClient("github")
		f.Registers(c, nil, storage.OK)
		f.replaceAll()
		f.Registers(c, c.Secret, storage.Changed)
		f.Registers(c, append([]byte("anew "), c.Secret...), storage.OK)
	},
}

var raceTests = map[string]func(*fixture){
	"sealing anew and changing lose nothing of each other": func(f *fixture) {
		k := suite.ConnectionKey("alice", "github")
		c := f.Put(f.Connection("alice", "github"))
		done := make(chan error)
		go func() {
			var err error
			for range 50 {
				if _, e := f.Store.ReplaceSealed(suite.Ctx(), "", 10, suite.AnotherSeal); e != nil {
					err = e
				}
			}
			done <- err
		}()
		for n := range 50 {
			c.Scopes = []string{strings.Repeat("s", n+1)}
			c.Secret = []byte("changed")
			var v storage.Verdict
			var err error
			c, v, err = f.Store.PutConnection(suite.Ctx(), c, f.Now)
			f.Verdict(v, err, storage.OK)
		}
		f.Must(<-done)
		got, err := f.Store.Connection(suite.Ctx(), k, f.Now)
		f.Must(err)
		if len(got.Scopes[0]) != 50 || got.Revision != c.Revision || strings.TrimPrefix(string(got.Secret), "anew ") != "changed" {
			f.Errorf("got %+v, last stored %+v", got, c)
		}
	},
}

// fill stores one record of each kind that holds something sealed, and others.
func (f *fixture) fill() {
	f.Put(f.Connection("alice", "github"))
	unfinished := f.FlowConnection("1", "github")
	unfinished.Secret = []byte("unfinished")
	own := f.Revocation("own")
	own.Secret = []byte("own")
	unfinished.OnExpiry = &own
	f.Put(unfinished)
	queued := f.Revocation("queued")
	queued.Secret = []byte("queued")
	f.Queue(queued)
	f.SaveConnectState("trip", "alice", "github")
	f.SaveConnectState("login", storage.LoginOwner, "oidc")
	f.SaveConnectState("voucher", storage.VoucherOwner, "dashboard")
	f.Registers(f.UpstreamClient("github"), nil, storage.OK)
	_, v, err := f.Store.SavePerson(suite.Ctx(), storage.PersonLogin{Person: storage.Person{
		Issuer: suite.Issuer, Subject: "oidc:company:alice", Kind: "oidc:company", Proof: "proof", ID: "id", Secret: []byte("person"),
		SignOut: &storage.SignOutHint{Secret: []byte("hint")}, SignedInAt: f.Now, VerifiedAt: f.Now, DueAt: f.Now.Add(time.Hour), ExpiresAt: f.Now.Add(100 * time.Hour),
	}}, f.Now)
	f.Verdict(v, err, storage.OK)
	f.Must(f.Store.PutSiteValue(suite.Ctx(), f.SiteValue("plain")))
	f.Must(f.Store.PutSiteValue(suite.Ctx(), storage.SiteValue{
		Issuer: suite.Issuer, Name: "signing keys", Text: base64.RawURLEncoding.EncodeToString([]byte("keys")),
	}))
	f.Must(f.Store.PutSiteValue(suite.Ctx(), storage.SiteValue{
		Issuer: suite.Issuer, Name: "traces 3", Text: base64.RawURLEncoding.EncodeToString([]byte("flows")),
	}))
	f.Must(f.Store.PutSiteValue(suite.Ctx(), storage.SiteValue{
		Issuer: suite.Issuer, Name: "catalog github", Text: base64.RawURLEncoding.EncodeToString([]byte("tools")),
	}))
	f.SignIn("2", "client")
}

// everything is what fill stores, see shown.
func everything() []string {
	trip, login, voucher := suite.Hash("state trip"), suite.Hash("state login"), suite.Hash("state voucher")
	all := []string{
		"connection connection|" + suite.Issuer + "|alice|github|c-alice github = sealed for alice",
		"connection connection|" + suite.Issuer + "|flow:1|github|c-flow:1 github = unfinished",
		"revocation revocation|" + suite.Issuer + "|notion|own = own",
		"revocation revocation|" + suite.Issuer + "|notion|queued = queued",
		"pending trip|" + suite.Issuer + "|alice|github|" + string(trip[:]) + " = sealed state trip",
		"pending login|" + suite.Issuer + "|" + string(login[:]) + " = sealed state login",
		"pending voucher|" + suite.Issuer + "|" + string(voucher[:]) + " = sealed state voucher",
		"registration upstream client|" + suite.Issuer + "|" + suite.Provider + "|github = sealed client",
		"person person|" + suite.Issuer + "|oidc:company:alice|proof = person",
		"sign_out sign-out hint|" + suite.Issuer + "|oidc:company:alice|proof = hint",
		"signing_keys signing keys|" + suite.Issuer + " = keys",
		"traces traces 3|" + suite.Issuer + " = flows",
		"catalog catalog github|" + suite.Issuer + " = tools",
	}
	slices.Sort(all)
	return all
}

// shown returns what is sealed, looking at so many records at a time.
func (f *fixture) shown(limit int) (all []string) {
	f.Helper()
	for after, first := "", true; first || after != ""; first = false {
		var page []string
		next, err := f.Store.ReplaceSealed(suite.Ctx(), after, limit, func(v storage.SealedValue) []byte {
			page = append(page, string(v.Kind)+" "+strings.Join(v.Context, "|")+" = "+string(v.Sealed))
			return nil
		})
		f.Must(err)
		all = append(all, page...)
		after = next
	}
	slices.Sort(all)
	return all
}

func (f *fixture) replaceAll() {
	f.Helper()
	for after, first := "", true; first || after != ""; first = false {
		next, err := f.Store.ReplaceSealed(suite.Ctx(), after, 3, suite.AnotherSeal)
		f.Must(err)
		after = next
	}
}
