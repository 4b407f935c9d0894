package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var memoTests = map[string]func(*fixture){
	"of one name at one issuer": func(f *fixture) {
		m := f.memo("a")
		f.must(f.store.PutMemo(ctx(), m))
		f.hasMemo(m)
		for _, other := range [][2]string{{otherIssuer, "a"}, {issuer, "b"}, {issuer, ""}} {
			_, err := f.store.Memo(ctx(), other[0], other[1], f.now)
			f.is(err, storage.ErrNotFound)
		}
	},
	"replaced, and kept for ever": func(f *fixture) {
		m := f.memo("a")
		f.must(f.store.PutMemo(ctx(), m))
		m.Text = "another"
		f.must(f.store.PutMemo(ctx(), m))
		f.after(1000 * 24 * time.Hour)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.hasMemo(m)
	},
	"absent once it has ended, and swept": func(f *fixture) {
		m := f.memo("a")
		m.ExpiresAt = f.now.Add(time.Hour)
		f.must(f.store.PutMemo(ctx(), m))
		f.hasMemo(m)
		f.after(time.Hour)
		_, err := f.store.Memo(ctx(), issuer, "a", f.now)
		f.is(err, storage.ErrNotFound)
		n, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.equal(n, 1)
	},
}

func (f *fixture) memo(name string) storage.Memo {
	return storage.Memo{Issuer: issuer, Name: name, Text: "text of " + name}
}

func (f *fixture) hasMemo(want storage.Memo) {
	f.Helper()
	got, err := f.store.Memo(ctx(), want.Issuer, want.Name, f.now)
	f.must(err)
	f.equal(got, want)
}
