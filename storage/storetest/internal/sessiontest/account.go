package sessiontest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var browserSessionTests = map[string]func(*fixture){
	"reads back what was stored": func(f *fixture) {
		b := f.BrowserSession("1", suite.Alice)
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), b))
		got, err := f.Store.BrowserSession(suite.Ctx(), b.Hash, f.Now)
		f.Must(err)
		f.Equal(got, b.BrowserSession)
		f.SignedIn("unknown", false)
	},
	"ends at ExpiresAt": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		f.After(30 * 24 * time.Hour)
		f.SignedIn("1", false)
	},
	"takes the place of the one before I11": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		next := f.BrowserSession("2", suite.Bob)
		next.Replaces = suite.Hash("cookie 1")
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), next))
		f.SignedIn("1", false)
		f.SignedIn("2", true)
		unknown := f.BrowserSession("3", suite.Alice)
		unknown.Replaces = suite.Hash("cookie 1")
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), unknown))
		f.SignedIn("2", true)
		f.SignedIn("3", true)
	},
	"signs out": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("2", suite.Alice)))
		f.Must(f.Store.DeleteBrowserSession(suite.Ctx(), suite.Hash("cookie 1"), nil, f.Now))
		f.Must(f.Store.DeleteBrowserSession(suite.Ctx(), suite.Hash("cookie 1"), nil, f.Now))
		f.SignedIn("1", false)
		f.SignedIn("2", true)
	},
	"signs out everywhere, one subject at one issuer": func(f *fixture) {
		elsewhere := f.BrowserSession("4", suite.Alice)
		elsewhere.Issuer = suite.OtherIssuer
		for _, b := range []storage.SignIn{
			f.BrowserSession("1", suite.Alice), f.BrowserSession("2", suite.Alice), f.BrowserSession("3", suite.Bob), elsewhere,
		} {
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), b))
		}
		f.Must(f.Store.DeleteBrowserSessions(suite.Ctx(), suite.Issuer, suite.Alice.Subject))
		f.Must(f.Store.DeleteBrowserSessions(suite.Ctx(), suite.Issuer, suite.Alice.Subject))
		f.SignedIn("1", false)
		f.SignedIn("2", false)
		f.SignedIn("3", true)
		f.SignedIn("4", true)
	},
}

var grantsOfTests = map[string]func(*fixture){
	"valid ones, oldest first": func(f *fixture) {
		for _, id := range []string{"c", "a", "b"} {
			f.SignIn(id, "client "+id)
			f.After(time.Minute)
		}
		f.Equal(f.grants(suite.Issuer, suite.Alice.Subject), []string{"g-c", "g-a", "g-b"})
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-a", f.Now)
		f.Must(err)
		f.Equal(f.grants(suite.Issuer, suite.Alice.Subject), []string{"g-c", "g-b"})
		f.After(100 * 24 * time.Hour)
		f.Equal(f.grants(suite.Issuer, suite.Alice.Subject), []string(nil))
	},
	"of one subject at one issuer": func(f *fixture) {
		f.SignIn("1", "a")
		f.Equal(f.grants(suite.Issuer, suite.Bob.Subject), []string(nil))
		f.Equal(f.grants(suite.Issuer, ""), []string(nil))
		f.Equal(f.grants(suite.OtherIssuer, suite.Alice.Subject), []string(nil))
	},
	"as they are now": func(f *fixture) {
		f.SignIn("1", "a")
		f.After(time.Minute)
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		grants, err := f.Store.GrantsOf(suite.Ctx(), suite.Issuer, suite.Alice.Subject, f.Now)
		f.Must(err)
		one, err := f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(grants, []storage.Grant{one})
	},
	"without those of a client that is gone": func(f *fixture) {
		f.Register("a")
		f.SignIn("1", "a")
		f.SignIn("2", "b")
		_, err := f.Store.DeleteClient(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.Equal(f.grants(suite.Issuer, suite.Alice.Subject), []string{"g-2"})
	},
}

func (f *fixture) grants(issuer, subject string) []string {
	f.Helper()
	grants, err := f.Store.GrantsOf(suite.Ctx(), issuer, subject, f.Now)
	f.Must(err)
	return suite.IDs(grants)
}
