package persontest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var personTests = map[string]func(*fixture){
	"every field comes back": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.Equal(p.Revision, uint64(1))
		f.stored(p)
		p.EndedSessions, p.DueAt, p.Claims = []string{"s0", ""}, time.Time{}, nil
		p = f.update(p, storage.OK)
		f.Equal(p.Revision, uint64(2))
		f.stored(p)
	},
	"of one subject at one issuer": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.noPerson("oidc:company:bob")
		_, err := f.Store.Person(suite.Ctx(), suite.OtherIssuer, p.Subject, f.Now)
		f.WantError(err, storage.ErrNotFound)
		other := f.person("alice")
		other.Issuer = suite.OtherIssuer
		f.save(other)
		f.stored(p)
	},
	"identified again": func(f *fixture) {
		before := f.save(f.person("alice"))
		f.After(time.Minute)
		p := f.person("alice")
		p.ID, p.Secret, p.SecretSession, p.Name, p.SignOut = "another", nil, "s2", "Alice", nil
		p = f.save(p)
		f.Equal(p.SignOut, before.SignOut)
		f.Equal([]any{p.ID, p.Secret, p.SecretSession, p.Name, p.Revision}, []any{before.ID, before.Secret, "s1", "Alice", uint64(2)})
		f.stored(p)
		p = f.person("alice")
		p.Secret, p.SecretSession, p.SignOut = []byte("newer"), "s3", &storage.SignOutHint{Session: "s3", Secret: []byte("newer hint")}
		p = f.save(p)
		f.Equal([]any{string(p.Secret), p.SecretSession, p.SignOut.Session}, []any{"newer", "s3", "s3"})
	},
	"identified by another proof is somebody else": func(f *fixture) {
		before := f.save(f.person("alice"))
		f.signIn("1", in(before, "s1"))
		p := f.person("alice")
		p.ID, p.Proof, p.Secret, p.SignOut = "another", "another issuer", nil, nil
		p = f.save(p)
		f.Equal([]any{p.ID, p.Secret, p.SignOut}, []any{"another", []byte(nil), (*storage.SignOutHint)(nil)})
		f.lives("1", false)
		_, err := f.Store.LastGrant(suite.Ctx(), suite.Issuer, p.Subject, "a", f.Now)
		f.WantError(err, storage.ErrNotFound)
		older := f.submission("2", in(p, "s1"))
		older.Grant.CreatedAt = f.Now.Add(-time.Hour)
		f.Equal(f.saveFlow("2", in(p, "s1")), storage.OK)
		v, err := f.Store.SubmitFlow(suite.Ctx(), older)
		f.Verdict(v, err, storage.OK)
		last, err := f.Store.LastGrant(suite.Ctx(), suite.Issuer, p.Subject, "a", f.Now)
		f.Must(err)
		f.Equal(last.ID, "g-2") // the newer one is of who they were
	},
	"ends at ExpiresAt": func(f *fixture) {
		p := f.person("alice")
		p.ExpiresAt = f.Now.Add(time.Minute)
		p = f.save(p)
		f.signIn("1", in(p, "s1"))
		f.After(time.Minute - 1)
		f.lives("1", true)
		f.After(1)
		f.lives("1", false)
		f.noPerson(p.Subject)
		f.update(p, storage.Unknown)
		again := f.person("alice")
		again.ID = "another"
		f.Equal(f.save(again).ID, "another")
		f.lives("1", false)
	},
	"swept": func(f *fixture) {
		for i := range 300 {
			p := f.person(fmt.Sprint(i))
			p.ExpiresAt = f.Now.Add(time.Minute)
			f.save(p)
		}
		kept := f.save(f.person("alice"))
		n, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Equal(n, 0)
		f.After(2 * time.Minute)
		n, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		if n < 300 {
			f.Fatalf("removed %d records, want 300 persons", n)
		}
		f.stored(kept)
		f.end(storage.PersonEnd{Subject: kept.Subject}, storage.OK)
		empty, err := f.Store.Empty(suite.Ctx())
		f.Must(err)
		f.Equal(empty, true)
	},
	"updated by its revision": func(f *fixture) {
		p := f.save(f.person("alice"))
		newer := f.update(p, storage.OK)
		f.update(p, storage.Changed)
		other := newer
		other.ID = "another"
		f.update(other, storage.Changed)
		f.update(f.person("bob"), storage.Unknown)
		f.stored(newer)
	},
}

var claimsTests = map[string]func(*fixture){
	"reach all that was issued before": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.signIn("1", in(p, "s1"))
		f.After(time.Minute)
		f.hasClaims("1", p)
		p.Claims = &storage.Claims{Groups: []string{"staff", "admin"}, Extra: map[string]json.RawMessage{"n": json.RawMessage(`1`)}}
		p.VerifiedAt = f.Now
		p = f.update(p, storage.OK)
		f.hasClaims("1", p)
		p.Claims.Groups = nil
		f.hasClaims("1", f.save(p))
	},
	"not of who has no person": func(f *fixture) {
		p := f.save(f.person("alice"))
		who := in(p, "")
		who.Person, who.Claims = "", nil
		f.signIn("1", who)
		token, err := f.Store.AccessToken(suite.Ctx(), suite.Hash("access 1 0"), f.Now)
		f.Must(err)
		f.Equal(token.Identity, who)
		f.end(storage.PersonEnd{Subject: p.Subject, Session: "s1"}, storage.OK)
		f.lives("1", true)
	},
	"nothing of a person who is not there": func(f *fixture) {
		f.begin("1", in(f.person("alice"), "s1"))
		f.lives("1", false)
		v, err := f.Store.SubmitFlow(suite.Ctx(), f.submission("2", in(f.person("alice"), "s1")))
		f.Verdict(v, err, storage.Unknown)
	},
	"what somebody connected in a flow goes to nobody else when they expired": func(f *fixture) {
		p := f.person("alice")
		p.ExpiresAt = f.Now.Add(time.Minute)
		f.Equal(f.saveFlow("1", in(f.save(p), "")), storage.OK)
		c := f.Put(f.FlowConnection("1", "notion"))
		f.After(time.Minute)
		f.Equal(f.saveFlow("1", suite.Bob), storage.OK)
		f.NoConnection(c)
	},
	"no connecting in what ended": func(f *fixture) {
		p := f.save(f.person("alice"))
		f.signIn("1", in(p, "s1"))
		for _, by := range []storage.Authentication{{FlowID: "pending 1"}, {Session: suite.Hash("cookie 1")}} {
			by.Identity = in(p, "s1")
			c := storage.ConnectionReplacement{Connection: f.Connection(p.Subject, "notion"), Authentication: &by}
			stored, v, err := f.Store.ReplaceConnection(suite.Ctx(), c, f.Now)
			f.Verdict(v, err, storage.OK)
			ends := f.Clone()
			ends.Now = p.ExpiresAt
			c.Revision, c.ID = stored.Revision, stored.ID
			for name, end := range map[string]storage.Person{"expired": {}, "by another proof": {Proof: "another"}} {
				late := f.Now
				if end.Proof != "" {
					other := f.person("alice")
					other.Proof, other.ID = end.Proof, "another"
					f.save(other)
				} else {
					late = p.ExpiresAt
				}
				_, v, err = f.Store.ReplaceConnection(suite.Ctx(), c, late)
				if err != nil || v != storage.SignedOut {
					f.Errorf("%s: %v, %v", name, v, err)
				}
			}
			f.Disconnect(suite.ConnectionKey(p.Subject, "notion"), true)
			f.end(storage.PersonEnd{Subject: p.Subject}, storage.OK)
			p = f.save(f.person("alice"))
			f.begin("1", in(p, "s1"))
		}
	},
}

// begin is what signIn leaves, for somebody who may not be there.
func (f *fixture) begin(name string, who storage.Identity) {
	f.Helper()
	f.Equal(f.saveFlow("pending "+name, who), storage.OK)
	f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession(name, who)))
}

// hasClaims checks what each verb that returns an identity says of what signIn made.
func (f *fixture) hasClaims(name string, p storage.Person) {
	f.Helper()
	want := *p.Claims
	want.VerifiedAt, want.Renewable = p.VerifiedAt, p.Secret != nil
	says := func(verb string, id storage.Identity, err error) {
		f.Helper()
		if err != nil {
			f.Fatalf("%s: %v", verb, err)
		}
		got, _ := json.Marshal(id.Claims)
		wanted, _ := json.Marshal(want)
		if string(got) != string(wanted) || !id.Claims.VerifiedAt.Equal(want.VerifiedAt) || id.Claims.Renewable != want.Renewable || id.Person != p.ID || id.ProviderSession != "s1" {
			f.Fatalf("%s: got %+v, %s\nwant %s", verb, id, got, wanted)
		}
	}
	ctx := suite.Ctx()
	token, err := f.Store.AccessToken(ctx, suite.Hash("access %s 0", name), f.Now)
	says("AccessToken", token.Identity, err)
	grant, err := f.Store.Grant(ctx, "g-"+name, f.Now)
	says("Grant", grant.Identity, err)
	of, err := f.Store.GrantsOf(ctx, suite.Issuer, p.Subject, f.Now)
	f.Must(err)
	says("GrantsOf", of[0].Identity, nil)
	last, err := f.Store.LastGrant(ctx, suite.Issuer, p.Subject, grant.ClientID, f.Now)
	says("LastGrant", last.Identity, err)
	all, _, err := f.Store.Grants(ctx, "", 1, f.Now)
	f.Must(err)
	says("Grants", all[0].Identity, nil)
	_, grant, err = f.Store.RefreshToken(ctx, suite.Hash("refresh %s 0", name), f.Now)
	says("RefreshToken", grant.Identity, err)
	flow, err := f.Store.Flow(ctx, "pending "+name, f.Now)
	says("Flow", flow.Identity, err)
	session, err := f.Store.BrowserSession(ctx, suite.Hash("cookie %s", name), f.Now)
	says("BrowserSession", session.Identity, err)

	f.Now = f.Now.Add(1)
	another := fmt.Sprint("another ", f.Now.UnixNano(), p.Revision)
	who := in(p, "s1")
	f.Equal(f.saveFlow(another, who), storage.OK)
	v, err := f.Store.SubmitFlow(ctx, f.submission(another, who))
	f.Verdict(v, err, storage.OK)
	claimed, err := f.Store.ClaimCode(ctx, f.claim(another, who))
	f.Equal(claimed.Verdict, storage.OK)
	says("ClaimCode", claimed.Grant.Identity, err)
	for _, verdict := range []storage.Verdict{storage.OK, storage.Repeated} {
		rotated, err := f.Store.RotateRefreshToken(ctx, f.rotation(another, who, 1))
		f.Equal(rotated.Verdict, verdict)
		says("RotateRefreshToken", rotated.Grant.Identity, err)
	}
	_, err = f.Store.RevokeGrant(ctx, "g-"+another, f.Now)
	f.Must(err)
}
