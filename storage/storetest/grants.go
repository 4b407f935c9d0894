package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var grantsTests = map[string]func(*fixture){
	"of everybody at all issuers": func(f *fixture) {
		f.signIn("1", "a")
		f.approve("2", "b") // its code is not redeemed yet
		elsewhere := f.flow("3")
		elsewhere.Issuer, elsewhere.Identity = otherIssuer, bob
		v, err := f.store.SaveFlow(ctx(), elsewhere, f.now)
		f.verdict(v, err, storage.OK)
		sub := f.submission("3", "c")
		sub.Issuer, sub.Identity = otherIssuer, bob
		sub.Grant.Issuer, sub.Grant.Identity, sub.Code.Issuer = otherIssuer, bob, otherIssuer
		v, err = f.store.SubmitFlow(ctx(), sub)
		f.verdict(v, err, storage.OK)
		f.equal(f.pages(10), [][]string{{"g-1", "g-2", "g-3"}})
		grants, _, err := f.store.Grants(ctx(), "g-2", 1, f.now)
		f.must(err)
		one, err := f.store.Grant(ctx(), "g-3", f.now)
		f.must(err)
		f.equal(grants, []storage.Grant{one})
	},
	"nothing": func(f *fixture) { f.equal(f.pages(1), [][]string{nil}) },
	"page by page": func(f *fixture) {
		for _, id := range []string{"1", "2", "3", "4"} {
			f.signIn(id, "a")
		}
		f.equal(f.pages(1), [][]string{{"g-1"}, {"g-2"}, {"g-3"}, {"g-4"}})
		f.equal(f.pages(2), [][]string{{"g-1", "g-2"}, {"g-3", "g-4"}})
		f.equal(f.pages(3), [][]string{{"g-1", "g-2", "g-3"}, {"g-4"}})
	},
	"those that stand": func(f *fixture) {
		f.signIn("1", "a")
		f.signIn("2", "a")
		_, err := f.store.RevokeGrant(ctx(), "g-1", f.now)
		f.must(err)
		f.equal(f.pages(1), [][]string{{"g-2"}})
		f.after(100 * 24 * time.Hour)
		f.equal(f.pages(1), [][]string{nil})
	},
	"goes on behind a grant that ended meanwhile": func(f *fixture) {
		for i := range 4 {
			f.approve(fmt.Sprint(i), "a")
		}
		_, next, err := f.store.Grants(ctx(), "", 2, f.now)
		f.must(err)
		f.equal(next, "g-1")
		_, err = f.store.RevokeGrant(ctx(), next, f.now)
		f.must(err)
		grants, next, err := f.store.Grants(ctx(), next, 2, f.now)
		f.must(err)
		f.equal(ids(grants), []string{"g-2", "g-3"})
		f.equal(next, "")
	},
}

// pages reads all grants, limit at a time.
func (f *fixture) pages(limit int) (all [][]string) {
	f.Helper()
	for next := ""; ; {
		grants, behind, err := f.store.Grants(ctx(), next, limit, f.now)
		f.must(err)
		all = append(all, ids(grants))
		if behind == "" {
			return all
		}
		if !slices.IsSorted([]string{next, behind}) || next == behind {
			f.Fatalf("from %q to %q", next, behind)
		}
		next = behind
	}
}

func ids(grants []storage.Grant) (all []string) {
	for _, g := range grants {
		all = append(all, g.ID)
	}
	return all
}
