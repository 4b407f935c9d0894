package authtest

import (
	"fmt"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// What programs get for themselves.
var serviceGrantTests = map[string]func(*fixture){
	"grant and token are there, and end together": func(f *fixture) {
		of := f.issued("1", 0)
		want := of.Grant
		want.AccessTokens = []storage.Hash{of.Access.Hash}
		got, err := f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(got, want)
		token, err := f.Store.AccessToken(suite.Ctx(), of.Access.Hash, f.Now)
		f.Must(err)
		f.Equal(token, of.Access)
		for _, list := range []func() ([]storage.Grant, string, error){
			func() ([]storage.Grant, string, error) { return f.Store.Grants(suite.Ctx(), "", 10, f.Now) },
			func() ([]storage.Grant, string, error) {
				return f.Store.GrantsOfClient(suite.Ctx(), suite.Issuer, "batch", "", 10, f.Now)
			},
			func() ([]storage.Grant, string, error) {
				all, err := f.Store.GrantsOf(suite.Ctx(), suite.Issuer, suite.Service.Subject, f.Now)
				return all, "", err
			},
		} {
			all, _, err := list()
			f.Must(err)
			f.Equal(all, []storage.Grant{want})
		}
		f.Now = of.Grant.ExpiresAt
		f.AccessLives("1", 0, false)
		_, err = f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.WantError(err, storage.ErrNotFound)
		f.After(2 * time.Hour)
		_, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Must(f.Store.Check(suite.Ctx()))
	},
	"revoking it ends the token": func(f *fixture) {
		of := f.issued("1", 5)
		f.issued("2", 5)
		rev, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(rev, storage.Revocation{AccessTokens: []storage.Hash{of.Access.Hash}, GrantIDs: []string{"g-1"}})
		f.AccessLives("1", 0, false)
		f.AccessLives("2", 0, true)
	},
	"ending the subject ends them": func(f *fixture) {
		f.issued("1", 5)
		_, v, err := f.Store.EndPerson(suite.Ctx(), storage.PersonEnd{Issuer: suite.Issuer, Subject: suite.Service.Subject, Now: f.Now})
		f.Verdict(v, err, storage.OK)
		f.AccessLives("1", 0, false)
		f.Revoked("1")
	},
	"a loop displaces its own": func(f *fixture) {
		f.SignIn("person", "a")
		other := f.ServiceGrant("other", 3)
		other.Grant.Identity.Subject, other.Access.Identity.Subject = "client:other", "client:other"
		f.issue(other, storage.OK)
		for i := range 10 {
			f.After(time.Millisecond)
			f.issued(fmt.Sprint(i), 3)
		}
		for i := range 10 {
			f.AccessLives(fmt.Sprint(i), 0, i >= 7)
		}
		f.AccessLives("person", 0, true)
		f.AccessLives("other", 0, true)
		f.Equal(f.pages(10), [][]string{{"g-7", "g-8", "g-9", "g-other", "g-person"}})
		f.Must(f.Store.Check(suite.Ctx()))
	},
	"those that ended give way first": func(f *fixture) {
		f.issued("1", 2)
		f.After(time.Second)
		f.issued("2", 2)
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-2", f.Now)
		f.Must(err)
		f.After(time.Second)
		f.issued("3", 2)
		f.AccessLives("1", 0, true)
		f.AccessLives("3", 0, true)
	},
	"what does not belong together is refused": func(f *fixture) {
		for name, spoil := range map[string]func(*storage.ServiceGrant){
			"another grant":   func(g *storage.ServiceGrant) { g.Access.GrantID = "g-2" },
			"another issuer":  func(g *storage.ServiceGrant) { g.Access.Issuer = suite.OtherIssuer },
			"another client":  func(g *storage.ServiceGrant) { g.Access.ClientID = "b" },
			"another subject": func(g *storage.ServiceGrant) { g.Access.Identity = suite.Alice },
			"a refresh token": func(g *storage.ServiceGrant) { g.Grant.RefreshToken = new(storage.Hash) },
		} {
			of := f.ServiceGrant("1", 1)
			spoil(&of)
			if _, err := f.Store.IssueGrant(suite.Ctx(), of); err == nil {
				f.Errorf("%s: it was stored", name)
			}
		}
		f.AccessLives("1", 0, false)
	},
	"a one-time value is used up, once": func(f *fixture) {
		for i, want := range []storage.Verdict{storage.OK, storage.AlreadyUsed} {
			of := f.ServiceGrant(fmt.Sprint(i), 5)
			of.UsesUp = &storage.OneTime{Hash: suite.Hash("assertion"), ExpiresAt: f.Now.Add(time.Minute)}
			f.issue(of, want)
			f.AccessLives(fmt.Sprint(i), 0, want == storage.OK)
		}
		used, err := f.Store.Used(suite.Ctx(), suite.Hash("assertion"), f.Now)
		f.Must(err)
		f.Equal(used, true)
	},
	"racers stay within the bound": func(f *fixture) {
		const most = 5
		var all sync.WaitGroup
		for n := range suite.Racers {
			of := f.ServiceGrant(fmt.Sprint(n), most)
			all.Go(func() {
				if v, err := f.Store.IssueGrant(suite.Ctx(), of); v != storage.OK || err != nil {
					f.Errorf("verdict %v, %v", v, err)
				}
			})
		}
		all.Wait()
		grants, err := f.Store.GrantsOf(suite.Ctx(), suite.Issuer, suite.Service.Subject, f.Now)
		f.Must(err)
		if len(grants) != most {
			f.Fatalf("%d grants, want %d", len(grants), most)
		}
		f.Must(f.Store.Check(suite.Ctx()))
	},
}

// issued stores a service grant.
func (f *fixture) issued(id string, most int) storage.ServiceGrant {
	f.Helper()
	of := f.ServiceGrant(id, most)
	f.issue(of, storage.OK)
	return of
}

func (f *fixture) issue(of storage.ServiceGrant, want storage.Verdict) {
	f.Helper()
	v, err := f.Store.IssueGrant(suite.Ctx(), of)
	f.Verdict(v, err, want)
}
