package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var siteValueTests = map[string]func(*fixture){
	"of one name at one issuer": func(f *fixture) {
		m := f.siteValue("a")
		f.must(f.store.PutSiteValue(ctx(), m))
		f.hasMemo(m)
		for _, other := range [][2]string{{otherIssuer, "a"}, {issuer, "b"}, {issuer, ""}} {
			_, err := f.store.SiteValue(ctx(), other[0], other[1], f.now)
			f.is(err, storage.ErrNotFound)
		}
	},
	"replaced, and kept for ever": func(f *fixture) {
		m := f.siteValue("a")
		f.must(f.store.PutSiteValue(ctx(), m))
		m.Text = "another"
		f.must(f.store.PutSiteValue(ctx(), m))
		f.after(1000 * 24 * time.Hour)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.hasMemo(m)
	},
	"absent once it has ended, and swept": func(f *fixture) {
		m := f.siteValue("a")
		m.ExpiresAt = f.now.Add(time.Hour)
		f.must(f.store.PutSiteValue(ctx(), m))
		f.hasMemo(m)
		f.after(time.Hour)
		_, err := f.store.SiteValue(ctx(), issuer, "a", f.now)
		f.is(err, storage.ErrNotFound)
		n, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.equal(n, 1)
	},
}

func (f *fixture) siteValue(name string) storage.SiteValue {
	return storage.SiteValue{Issuer: issuer, Name: name, Text: "text of " + name}
}

func (f *fixture) hasMemo(want storage.SiteValue) {
	f.Helper()
	got, err := f.store.SiteValue(ctx(), want.Issuer, want.Name, f.now)
	f.must(err)
	f.equal(got, want)
}
