package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var browserSessionTests = map[string]func(*fixture){
	"reads back what was stored": func(f *fixture) {
		b := f.browserSession("1", alice)
		f.must(f.store.CreateBrowserSession(ctx(), b))
		got, err := f.store.BrowserSession(ctx(), b.Hash, f.now)
		f.must(err)
		f.equal(got, b)
		f.signedIn("unknown", false)
	},
	"ends at ExpiresAt": func(f *fixture) {
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		f.after(30 * 24 * time.Hour)
		f.signedIn("1", false)
	},
	"takes the place of the one before I11": func(f *fixture) {
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		next := f.browserSession("2", bob)
		next.Replaces = hash("cookie 1")
		f.must(f.store.CreateBrowserSession(ctx(), next))
		f.signedIn("1", false)
		f.signedIn("2", true)
		unknown := f.browserSession("3", alice)
		unknown.Replaces = hash("cookie 1")
		f.must(f.store.CreateBrowserSession(ctx(), unknown))
		f.signedIn("2", true)
		f.signedIn("3", true)
	},
	"signs out": func(f *fixture) {
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("2", alice)))
		f.must(f.store.DeleteBrowserSession(ctx(), hash("cookie 1"), nil, f.now))
		f.must(f.store.DeleteBrowserSession(ctx(), hash("cookie 1"), nil, f.now))
		f.signedIn("1", false)
		f.signedIn("2", true)
	},
	"signs out everywhere, one subject at one issuer": func(f *fixture) {
		elsewhere := f.browserSession("4", alice)
		elsewhere.Issuer = otherIssuer
		for _, b := range []storage.BrowserSession{
			f.browserSession("1", alice), f.browserSession("2", alice), f.browserSession("3", bob), elsewhere,
		} {
			f.must(f.store.CreateBrowserSession(ctx(), b))
		}
		f.must(f.store.DeleteBrowserSessions(ctx(), issuer, alice.Subject))
		f.must(f.store.DeleteBrowserSessions(ctx(), issuer, alice.Subject))
		f.signedIn("1", false)
		f.signedIn("2", false)
		f.signedIn("3", true)
		f.signedIn("4", true)
	},
}

var grantsOfTests = map[string]func(*fixture){
	"those that stand, oldest first": func(f *fixture) {
		for _, id := range []string{"c", "a", "b"} {
			f.signIn(id, "client "+id)
			f.after(time.Minute)
		}
		f.equal(f.grants(issuer, alice.Subject), []string{"g-c", "g-a", "g-b"})
		_, err := f.store.RevokeGrant(ctx(), "g-a", f.now)
		f.must(err)
		f.equal(f.grants(issuer, alice.Subject), []string{"g-c", "g-b"})
		f.after(100 * 24 * time.Hour)
		f.equal(f.grants(issuer, alice.Subject), []string(nil))
	},
	"of one subject at one issuer": func(f *fixture) {
		f.signIn("1", "a")
		f.equal(f.grants(issuer, bob.Subject), []string(nil))
		f.equal(f.grants(issuer, ""), []string(nil))
		f.equal(f.grants(otherIssuer, alice.Subject), []string(nil))
	},
	"as they are now": func(f *fixture) {
		f.signIn("1", "a")
		f.after(time.Minute)
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		grants, err := f.store.GrantsOf(ctx(), issuer, alice.Subject, f.now)
		f.must(err)
		one, err := f.store.Grant(ctx(), "g-1", f.now)
		f.must(err)
		f.equal(grants, []storage.Grant{one})
	},
	"without those of a client that is gone": func(f *fixture) {
		f.register("a")
		f.signIn("1", "a")
		f.signIn("2", "b")
		_, err := f.store.DeleteClient(ctx(), "a", f.now)
		f.must(err)
		f.equal(f.grants(issuer, alice.Subject), []string{"g-2"})
	},
}

func (f *fixture) grants(issuer, subject string) []string {
	f.Helper()
	grants, err := f.store.GrantsOf(ctx(), issuer, subject, f.now)
	f.must(err)
	return ids(grants)
}
