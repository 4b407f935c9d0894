package storetest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var sweepTests = map[string]func(*fixture){
	"an empty store": func(f *fixture) {
		n, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.equal(n, 0)
	},
	"leaves what lives": func(f *fixture) {
		f.register("a")
		f.signIn("1", "a")
		f.approve("2", "a")
		_, err := f.store.UseOnce(ctx(), hash("jti"), f.now.Add(time.Minute), f.now)
		f.must(err)
		n, err := f.store.Sweep(ctx(), f.now.Add(time.Minute-1))
		f.must(err)
		f.equal(n, 0)
	},
	"removes all that ended M13": func(f *fixture) {
		f.register("a")
		for i := range 100 {
			f.signIn(fmt.Sprint(i), "a")
			f.rotate(f.rotation(fmt.Sprint(i), "a", 1), storage.OK)
			f.must(f.store.CreateClient(ctx(), f.client(fmt.Sprint("unused ", i)), storage.Unused{}))
		}
		f.after(1000 * 24 * time.Hour)
		n, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		if n < 100*7 {
			f.Fatalf("removed %d records", n)
		}
		n, err = f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.equal(n, 0)
		f.rotate(f.rotation("1", "a", 2), storage.Unknown)
		f.must(f.store.CreateClient(ctx(), f.client("a"), storage.Unused{Max: 1})) // the ID is free again
	},
	"a grant that was renewed stays": func(f *fixture) {
		f.signIn("1", "a")
		f.after(25 * 24 * time.Hour)
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		f.after(10 * 24 * time.Hour)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.rotate(f.rotation("1", "a", 2), storage.OK)
	},
}
