package persontest

import (
	"fmt"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// pages reads a list, limit at a time.
func pages[T any](f *fixture, limit int, read func(after string) ([]T, string, error)) (all []T) {
	f.Helper()
	after := ""
	for range 1000 {
		page, next, err := read(after)
		f.Must(err)
		if len(page) > limit {
			f.Fatalf("%d on a page of %d", len(page), limit)
		}
		if all = append(all, page...); next == "" {
			return all
		}
		after = next
	}
	f.Fatal("the list has no end")
	return nil
}

// subjects lists everybody who has something, in both ways sorted.
func (f *fixture) subjects(limit int) []string {
	f.Helper()
	all := pages(f, limit, func(after string) ([]storage.Subject, string, error) {
		return f.Store.Subjects(suite.Ctx(), after, limit, f.Now)
	})
	var names []string
	for _, s := range all {
		names = append(names, s.Issuer+" "+s.Subject)
	}
	slices.Sort(names)
	return names
}

// signsIn signs somebody in at the pages of an issuer.
func (f *fixture) signsIn(issuer, name string) {
	f.Helper()
	b := f.BrowserSession(name+" at "+issuer, storage.Identity{Kind: "user_id", Subject: "user_id:" + name})
	b.Issuer = issuer
	f.Must(f.Store.CreateBrowserSession(suite.Ctx(), b))
}

var listTests = map[string]func(*fixture){
	"subjects: nobody": func(f *fixture) { f.Equal(f.subjects(1), []string(nil)) },
	"subjects: nobody whose person is gone, whatever was written late": func(f *fixture) {
		carol := f.save(f.person("carol"))
		_, v, err := f.Store.EndPerson(suite.Ctx(), storage.PersonEnd{Issuer: carol.Issuer, Subject: carol.Subject, Now: f.Now})
		f.Verdict(v, err, storage.OK)
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("late", in(carol, "s1"))))
		f.Equal(f.subjects(1), []string(nil))
		anew := f.person("carol")
		anew.ID = "another"
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("later", in(f.save(anew), "s1"))))
		f.Equal(f.subjects(1), []string{carol.Issuer + " " + carol.Subject})
	},
	"subjects: whoever has something, once": func(f *fixture) {
		carol := f.save(f.person("carol"))
		f.signIn("1", in(carol, "s1"))
		f.signIn("2", in(carol, "s1"))
		f.Put(f.Connection(carol.Subject, "notion"))
		f.Put(f.Connection(carol.Subject, "github"))
		f.save(f.person("dave"))
		f.SignIn("3", "a") // Alice
		for i := range 5 {
			f.Put(f.Connection(fmt.Sprint("user_id:", i), "notion"))
			f.Put(f.Connection(fmt.Sprint("user_id:", i), "github"))
			f.signsIn(suite.Issuer, fmt.Sprint(i))
		}
		f.signsIn(suite.Issuer, "session")
		f.signsIn(suite.OtherIssuer, "0")
		f.Put(f.Connection(storage.SharedOwner, "notion"))
		f.Put(f.FlowConnection("x", "notion"))
		want := []string{
			suite.Issuer + " " + carol.Subject, suite.Issuer + " oidc:company:dave",
			suite.Issuer + " " + suite.Alice.Subject, suite.Issuer + " user_id:session", suite.OtherIssuer + " user_id:0",
		}
		for i := range 5 {
			want = append(want, fmt.Sprint(suite.Issuer, " user_id:", i))
		}
		slices.Sort(want)
		for _, limit := range []int{1, 2, 3, 5, 9, 100} {
			f.Equal(f.subjects(limit), want)
		}
	},
	"subjects: not whoever has nothing any more": func(f *fixture) {
		f.SignIn("1", "a")
		f.signsIn(suite.Issuer, "session")
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(f.subjects(2), []string{suite.Issuer + " user_id:session"})
		f.After(100 * 24 * time.Hour)
		f.Equal(f.subjects(2), []string(nil))
	},
	"subjects: a grant that ended hides no valid one": func(f *fixture) {
		f.SignIn("1", "a")
		f.After(29 * 24 * time.Hour)
		f.SignIn("2", "a")
		f.After(2 * 24 * time.Hour)
		f.Equal(f.subjects(1), []string{suite.Issuer + " " + suite.Alice.Subject})
	},
	"clients": func(f *fixture) {
		f.Equal(len(f.clients(1)), 0)
		for _, id := range []string{"a", "b", "c", "d"} {
			f.Register(id)
		}
		other := f.Client("e")
		other.Issuer, other.ExpiresAt = suite.OtherIssuer, f.Now.Add(time.Hour)
		f.Must(f.Store.CreateClient(suite.Ctx(), other, storage.Unused{}))
		_, err := f.Store.DeleteClient(suite.Ctx(), "c", f.Now)
		f.Must(err)
		for _, limit := range []int{1, 2, 3, 4, 100} {
			f.Equal(f.clients(limit), []string{"a", "b", "d", "e"})
		}
		one, err := f.Store.Client(suite.Ctx(), "b", f.Now)
		f.Must(err)
		two, next, err := f.Store.Clients(suite.Ctx(), "a", 1, f.Now)
		f.Must(err)
		f.Equal(two, []storage.Client{one})
		f.Equal(next, "b")
		f.After(2 * time.Hour)
		f.Equal(f.clients(2), []string{"a", "b", "d"})
	},
	"grants of a client": func(f *fixture) {
		for i := range 5 {
			f.SignIn(fmt.Sprint(i), "a")
			f.SignIn(fmt.Sprint("b", i), "b")
		}
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-2", f.Now)
		f.Must(err)
		of := func(issuer string, limit int) []string {
			f.Helper()
			return suite.IDs(pages(f, limit, func(after string) ([]storage.Grant, string, error) {
				return f.Store.GrantsOfClient(suite.Ctx(), issuer, "a", after, limit, f.Now)
			}))
		}
		for _, limit := range []int{1, 2, 4, 100} {
			f.Equal(of(suite.Issuer, limit), []string{"g-0", "g-1", "g-3", "g-4"})
		}
		f.Equal(of(suite.OtherIssuer, 10), []string(nil))
		one, err := f.Store.Grant(suite.Ctx(), "g-3", f.Now)
		f.Must(err)
		found, next, err := f.Store.GrantsOfClient(suite.Ctx(), suite.Issuer, "a", "g-1", 1, f.Now)
		f.Must(err)
		f.Equal(found, []storage.Grant{one})
		f.Equal(next, "g-3")
	},
	"connections": func(f *fixture) {
		var want []string
		for i := range 4 {
			for _, server := range []string{"notion", "github"} {
				want = append(want, f.Put(f.Connection(fmt.Sprint("user_id:", i), server)).ID)
			}
		}
		want = append(want, f.Put(f.FlowConnection("x", "notion")).ID)
		elsewhere := f.Connection("user_id:0", "jira")
		elsewhere.Issuer, elsewhere.ID = suite.OtherIssuer, "elsewhere"
		f.Put(elsewhere)
		slices.Sort(want)
		for _, limit := range []int{1, 2, 5, 9, 100} {
			f.Equal(f.connections(limit), want)
		}
		all, _, err := f.Store.Connections(suite.Ctx(), suite.OtherIssuer, "", 10, f.Now)
		f.Must(err)
		elsewhere.Revision = 1
		f.Equal(all, []storage.Connection{elsewhere})
		f.After(time.Hour)
		want = slices.DeleteFunc(want, func(id string) bool { return id == "c-flow:x notion" })
		f.Equal(f.connections(2), want)
	},
	"goes on behind what ended meanwhile": func(f *fixture) {
		for i := range 4 {
			f.Put(f.Connection(fmt.Sprint("user_id:", i), "notion"))
		}
		first, next, err := f.Store.Connections(suite.Ctx(), suite.Issuer, "", 2, f.Now)
		f.Must(err)
		f.Disconnect(first[1].ConnectionKey, true)
		second, next, err := f.Store.Connections(suite.Ctx(), suite.Issuer, next, 2, f.Now)
		f.Must(err)
		f.Equal(len(second), 2)
		f.Equal(next, "")
	},
	"from no place": func(f *fixture) {
		_, _, err := f.Store.Connections(suite.Ctx(), suite.Issuer, "no place", 2, f.Now)
		f.WantError(err, storage.ErrPlace)
		_, _, err = f.Store.Subjects(suite.Ctx(), "no place", 2, f.Now)
		f.WantError(err, storage.ErrPlace)
	},
	"browser sessions": func(f *fixture) {
		f.signsIn(suite.Issuer, "bob")
		f.signsIn(suite.OtherIssuer, "alice")
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		f.After(time.Hour)
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("2", suite.Alice)))
		first, err := f.Store.BrowserSession(suite.Ctx(), suite.Hash("cookie 1"), f.Now)
		f.Must(err)
		second, err := f.Store.BrowserSession(suite.Ctx(), suite.Hash("cookie 2"), f.Now)
		f.Must(err)
		of := func(want ...storage.BrowserSession) {
			f.Helper()
			got, err := f.Store.BrowserSessionsOf(suite.Ctx(), suite.Issuer, suite.Alice.Subject, f.Now)
			f.Must(err)
			f.Equal(got, want)
		}
		of(first, second)
		f.Now = first.ExpiresAt
		of(second)
		f.Must(f.Store.DeleteBrowserSessions(suite.Ctx(), suite.Issuer, suite.Alice.Subject))
		of()
	},
}

func (f *fixture) clients(limit int) (ids []string) {
	f.Helper()
	for _, c := range pages(f, limit, func(after string) ([]storage.Client, string, error) {
		return f.Store.Clients(suite.Ctx(), after, limit, f.Now)
	}) {
		ids = append(ids, c.ID)
	}
	return ids
}

// connections lists those at the issuer, sorted by ID.
func (f *fixture) connections(limit int) (ids []string) {
	f.Helper()
	for _, c := range pages(f, limit, func(after string) ([]storage.Connection, string, error) {
		return f.Store.Connections(suite.Ctx(), suite.Issuer, after, limit, f.Now)
	}) {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}
