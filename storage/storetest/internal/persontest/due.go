package persontest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// due are the names of those who are due, and for 90 seconds nobody else's.
func (f *fixture) due(issuer string, limit int) (names []string) {
	f.Helper()
	all, err := f.Store.DuePersons(suite.Ctx(), issuer, limit, f.Now, f.Now.Add(90*time.Second))
	f.Must(err)
	for _, p := range all {
		names = append(names, p.Name)
	}
	return names
}

var dueTests = map[string]func(*fixture){
	"the longest due first, each to one caller": func(f *fixture) {
		for i, name := range []string{"c", "b", "a"} {
			p := f.person(name)
			p.DueAt = f.Now.Add(time.Duration(10-i) * time.Minute)
			f.save(p)
		}
		never := f.person("never")
		never.DueAt = time.Time{}
		f.save(never)
		elsewhere := f.person("elsewhere")
		elsewhere.Issuer = suite.OtherIssuer
		f.save(elsewhere)
		f.After(8*time.Minute - 1)
		f.Equal(f.due(suite.Issuer, 9), []string(nil))
		f.After(1)
		f.Equal(f.due(suite.Issuer, 9), []string{"a"})
		f.Equal(f.due(suite.Issuer, 9), []string(nil))
		f.After(7 * time.Minute)
		f.Equal(f.due(suite.Issuer, 2), []string{"b", "a"})
		f.Equal(f.due(suite.Issuer, 2), []string{"c"})
		f.Equal(f.due(suite.OtherIssuer, 2), []string{"elsewhere"})
	},
	"what it returns can be updated": func(f *fixture) {
		before := f.save(f.person("alice"))
		f.After(time.Hour)
		all, err := f.Store.DuePersons(suite.Ctx(), suite.Issuer, 1, f.Now, f.Now.Add(time.Minute))
		f.Must(err)
		f.stored(all[0])
		f.update(before, storage.Changed)
		all[0].DueAt = f.Now.Add(2 * time.Minute)
		f.update(all[0], storage.OK)
		f.After(time.Minute)
		f.Equal(f.due(suite.Issuer, 1), []string(nil))
		f.After(time.Minute)
		f.Equal(f.due(suite.Issuer, 1), []string{"alice"})
	},
	"a login comes between": func(f *fixture) {
		f.save(f.person("alice"))
		f.After(time.Hour)
		all, err := f.Store.DuePersons(suite.Ctx(), suite.Issuer, 1, f.Now, f.Now.Add(time.Minute))
		f.Must(err)
		again := f.save(f.person("alice"))
		f.update(all[0], storage.Changed)
		f.end(storage.PersonEnd{Subject: again.Subject, ID: all[0].ID, Revision: all[0].Revision}, storage.Changed)
		f.stored(again)
	},
	"not who expired or ended": func(f *fixture) {
		p := f.person("alice")
		p.ExpiresAt = f.Now.Add(time.Minute)
		f.save(p)
		f.end(storage.PersonEnd{Subject: f.save(f.person("bob")).Subject}, storage.OK)
		f.After(time.Hour)
		f.Equal(f.due(suite.Issuer, 9), []string(nil))
	},
	"each of many to one of many callers": func(f *fixture) {
		want := 3 * suite.Racers
		for i := range want {
			f.save(f.person(fmt.Sprint(i)))
		}
		f.After(time.Hour)
		got := make([][]string, suite.Racers)
		f.Together(func(n int) {
			for range 10 {
				all, err := f.Store.DuePersons(suite.Ctx(), suite.Issuer, 2, f.Now, f.Now.Add(time.Minute))
				if err != nil {
					f.Error(err)
				}
				for _, p := range all {
					got[n] = append(got[n], p.Name)
				}
			}
		})
		seen := map[string]bool{}
		for _, names := range got {
			for _, name := range names {
				if seen[name] {
					f.Errorf("%s was handed out twice", name)
				}
				seen[name] = true
			}
		}
		f.Equal(len(seen), want)
	},
}
