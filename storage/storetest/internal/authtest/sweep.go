package authtest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var sweepTests = map[string]func(*fixture){
	"an empty store": func(f *fixture) {
		n, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Equal(n, 0)
	},
	"leaves what lives": func(f *fixture) {
		f.Register("a")
		f.SignIn("1", "a")
		f.Approve("2", "a")
		_, err := f.Store.UseOnce(suite.Ctx(), suite.Hash("jti"), f.Now.Add(time.Minute), f.Now)
		f.Must(err)
		n, err := f.Store.Sweep(suite.Ctx(), f.Now.Add(time.Minute-1))
		f.Must(err)
		f.Equal(n, 0)
	},
	"removes all that ended M13": func(f *fixture) {
		f.Register("a")
		for i := range 100 {
			f.SignIn(fmt.Sprint(i), "a")
			f.Rotate(f.Rotation(fmt.Sprint(i), "a", 1), storage.OK)
			f.Must(f.Store.CreateClient(suite.Ctx(), f.Client(fmt.Sprint("unused ", i)), storage.Unused{}))
		}
		f.After(1000 * 24 * time.Hour)
		n, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		if n < 100*7 {
			f.Fatalf("removed %d records", n)
		}
		n, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Equal(n, 0)
		f.Rotate(f.Rotation("1", "a", 2), storage.Unknown)
		f.Must(f.Store.CreateClient(suite.Ctx(), f.Client("a"), storage.Unused{Max: 1})) // the ID is free again
	},
	"a grant that was renewed stays": func(f *fixture) {
		f.SignIn("1", "a")
		f.After(25 * 24 * time.Hour)
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.After(10 * 24 * time.Hour)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Rotate(f.Rotation("1", "a", 2), storage.OK)
	},
}

var siteValueTests = map[string]func(*fixture){
	"of one name at one issuer": func(f *fixture) {
		m := f.SiteValue("a")
		f.Must(f.Store.PutSiteValue(suite.Ctx(), m))
		f.hasMemo(m)
		for _, other := range [][2]string{{suite.OtherIssuer, "a"}, {suite.Issuer, "b"}, {suite.Issuer, ""}} {
			_, err := f.Store.SiteValue(suite.Ctx(), other[0], other[1], f.Now)
			f.WantError(err, storage.ErrNotFound)
		}
	},
	"replaced, and kept for ever": func(f *fixture) {
		m := f.SiteValue("a")
		f.Must(f.Store.PutSiteValue(suite.Ctx(), m))
		m.Text = "another"
		f.Must(f.Store.PutSiteValue(suite.Ctx(), m))
		f.After(1000 * 24 * time.Hour)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.hasMemo(m)
	},
	"not in place of another one": func(f *fixture) {
		first, second := f.SiteValue("a"), f.SiteValue("a")
		second.Text = "another"
		f.replaces(first, "some", storage.Changed)
		_, err := f.Store.SiteValue(suite.Ctx(), suite.Issuer, "a", f.Now)
		f.WantError(err, storage.ErrNotFound)
		f.replaces(first, "", storage.OK)
		f.replaces(second, "", storage.Changed)
		f.replaces(second, "some", storage.Changed)
		f.hasMemo(first)
		f.replaces(second, first.Text, storage.OK)
		f.replaces(first, first.Text, storage.Changed)
		f.hasMemo(second)
		f.replaces(f.SiteValue("b"), "", storage.OK) // another name is another value
		f.hasMemo(second)
	},
	"in place of one that has ended": func(f *fixture) {
		ends := f.SiteValue("a")
		ends.ExpiresAt = f.Now.Add(time.Hour)
		f.replaces(ends, "", storage.OK)
		f.hasMemo(ends)
		f.After(time.Hour)
		next := f.SiteValue("a")
		next.Text = "another"
		f.replaces(next, ends.Text, storage.Changed)
		f.replaces(next, "", storage.OK)
		f.hasMemo(next)
	},
	"in place of one that it has end at once": func(f *fixture) {
		stays, ends := f.SiteValue("a"), f.SiteValue("a")
		f.replaces(stays, "", storage.OK)
		ends.Text, ends.ExpiresAt = "ended", f.Now
		f.replaces(ends, stays.Text, storage.OK)
		_, err := f.Store.SiteValue(suite.Ctx(), suite.Issuer, "a", f.Now)
		f.WantError(err, storage.ErrNotFound)
		f.replaces(stays, "", storage.OK)
		f.hasMemo(stays)
	},
	"absent once it has ended, and swept": func(f *fixture) {
		m := f.SiteValue("a")
		m.ExpiresAt = f.Now.Add(time.Hour)
		f.Must(f.Store.PutSiteValue(suite.Ctx(), m))
		f.hasMemo(m)
		f.After(time.Hour)
		_, err := f.Store.SiteValue(suite.Ctx(), suite.Issuer, "a", f.Now)
		f.WantError(err, storage.ErrNotFound)
		n, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Equal(n, 1)
	},
}

func (f *fixture) replaces(v storage.SiteValue, former string, want storage.Verdict) {
	f.Helper()
	got, err := f.Store.ReplaceSiteValue(suite.Ctx(), v, former, f.Now)
	f.Must(err)
	f.Equal(got, want)
}

func (f *fixture) hasMemo(want storage.SiteValue) {
	f.Helper()
	got, err := f.Store.SiteValue(suite.Ctx(), want.Issuer, want.Name, f.Now)
	f.Must(err)
	f.Equal(got, want)
}
