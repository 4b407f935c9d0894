package sessiontest

import (
	"fmt"
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

var lastGrantTests = map[string]func(*fixture){
	"is the newest": func(f *fixture) {
		for _, id := range []string{"c", "a", "b"} { // made in another order than that of their IDs
			f.SignIn(id, "app")
			f.After(time.Minute)
		}
		f.last("app", "g-b")
		one, err := f.Store.Grant(suite.Ctx(), "g-b", f.Now)
		f.Must(err)
		got, err := f.Store.LastGrant(suite.Ctx(), suite.Issuer, suite.Alice.Subject, "app", f.Now)
		f.Must(err)
		f.Equal(got, one)
	},
	"is the last by its ID of those that were made at once": func(f *fixture) {
		for _, id := range []string{"b", "c", "a"} {
			f.SignIn(id, "app")
		}
		f.last("app", "g-c")
	},
	"is the one before where the newest is revoked": func(f *fixture) {
		for _, id := range []string{"1", "2", "3"} {
			f.SignIn(id, "app")
			f.After(time.Minute)
		}
		for _, next := range []string{"g-3", "g-2", "g-1"} {
			f.last("app", next)
			_, err := f.Store.RevokeGrant(suite.Ctx(), next, f.Now)
			f.Must(err)
		}
		f.last("app", "")
	},
	"is the one before where the newest has ended": func(f *fixture) {
		for _, id := range []string{"1", "2", "3", "4"} {
			f.SignIn(id, "app")
			f.After(time.Minute)
		}
		for _, id := range []string{"4", "3"} {
			change := f.Change(id, "delete")
			change.EndsBy = f.Now.Add(time.Hour)
			_, err := f.Store.ChangeGrant(suite.Ctx(), change)
			f.Must(err)
		}
		f.last("app", "g-4")
		f.After(time.Hour)
		f.last("app", "g-2")
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.last("app", "g-2")
		f.After(100 * 24 * time.Hour)
		f.last("app", "")
	},
	"as it is now": func(f *fixture) {
		f.SignIn("1", "app")
		f.SignIn("2", "app")
		f.After(time.Minute)
		f.Rotate(f.Rotation("2", "app", 1), storage.OK)
		_, err := f.Store.ChangeGrant(suite.Ctx(), f.Change("2", "delete"))
		f.Must(err)
		one, err := f.Store.Grant(suite.Ctx(), "g-2", f.Now)
		f.Must(err)
		got, err := f.Store.LastGrant(suite.Ctx(), suite.Issuer, suite.Alice.Subject, "app", f.Now)
		f.Must(err)
		f.Equal(got, one)
	},
	"of one client, subject and issuer": func(f *fixture) {
		f.SignIn("1", "app")
		f.After(time.Minute)
		f.SignIn("2", "another")
		f.last("app", "g-1")
		f.last("another", "g-2")
		f.last("ap", "")
		f.last("", "")
		for _, of := range [][2]string{
			{suite.OtherIssuer, suite.Alice.Subject}, {suite.Issuer, suite.Bob.Subject}, {suite.Issuer, ""}, {"", suite.Alice.Subject},
		} {
			_, err := f.Store.LastGrant(suite.Ctx(), of[0], of[1], "app", f.Now)
			f.WantError(err, storage.ErrNotFound)
		}
	},
	"of many": func(f *fixture) {
		for n := range 60 {
			f.SignIn(fmt.Sprint(97*n%60), fmt.Sprintf("app %d", n%3))
			f.After(time.Second)
		}
		for client, want := range map[string]string{"app 0": "g-9", "app 1": "g-46", "app 2": "g-23"} {
			f.last(client, want)
		}
	},
	"without those of a client that is gone": func(f *fixture) {
		f.Register("app")
		f.SignIn("1", "app")
		_, err := f.Store.DeleteClient(suite.Ctx(), "app", f.Now)
		f.Must(err)
		f.last("app", "")
	},
}

// last checks which grant of a client is alice's last; none has the empty ID.
func (f *fixture) last(clientID, want string) {
	f.Helper()
	g, err := f.Store.LastGrant(suite.Ctx(), suite.Issuer, suite.Alice.Subject, clientID, f.Now)
	if want == "" {
		f.WantError(err, storage.ErrNotFound)
	} else {
		f.Must(err)
	}
	if g.ID != want {
		f.Fatalf("the last grant of %q is %q, want %q", clientID, g.ID, want)
	}
}

func (f *fixture) grants(issuer, subject string) []string {
	f.Helper()
	grants, err := f.Store.GrantsOf(suite.Ctx(), issuer, subject, f.Now)
	f.Must(err)
	return suite.IDs(grants)
}
