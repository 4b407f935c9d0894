package authtest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// A registration that only identities without proof approved is kept as long
// as what they approved, and bounded by where they are.
var unprovedClientTests = map[string]func(*fixture){
	"is kept as long as the grant can live, and is not used G03": func(f *fixture) {
		f.Register("a")
		sub := f.ApproveUnproved("a", "here", 1)
		got, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		if got.Used || !got.ExpiresAt.Equal(sub.Grant.AbsoluteExpiresAt) {
			f.Fatalf("%+v", got)
		}
		f.Now = sub.Grant.AbsoluteExpiresAt.Add(-1)
		_, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.registered("a", true)
		f.After(1)
		f.registered("a", false)
	},
	"a flood of registrations does not evict it G01": func(f *fixture) {
		f.Register("a")
		f.ApproveUnproved("a", "here", 1)
		for i := range 10 {
			f.Must(f.Store.CreateClient(suite.Ctx(), f.Client(fmt.Sprint("c", i)), storage.Unused{Max: 3}))
		}
		f.registered("a", true)
		f.registered("c6", false)
		f.registered("c7", true)
	},
	"beyond the quota, what nobody approved for longest gives way G01 G02": func(f *fixture) {
		for i := range 5 {
			f.After(time.Second)
			f.Register(fmt.Sprint("c", i))
			f.ApproveUnproved(fmt.Sprint("c", i), "here", 3)
			f.registered(fmt.Sprint("c", i), true)
		}
		f.registered("c1", false)
		f.registered("c2", true)
		f.After(time.Second)
		f.ApproveUnproved("c2", "here", 3) // once more: now c3 is the oldest
		f.Register("c5")
		f.ApproveUnproved("c5", "here", 3)
		f.registered("c2", true)
		f.registered("c3", false)
		f.registered("c4", true)
	},
	"others are not concerned G01": func(f *fixture) {
		for _, id := range []string{"proved", "there", "elsewhere", "unused"} {
			c := f.Client(id)
			if id == "elsewhere" {
				c.Issuer = suite.OtherIssuer
			}
			f.Must(f.Store.CreateClient(suite.Ctx(), c, storage.Unused{}))
		}
		f.Approve("1", "proved")
		f.ApproveUnproved("there", "there", 1)
		f.ApproveUnproved("elsewhere", "here", 1)
		for i := range 5 {
			f.After(time.Second)
			f.Register(fmt.Sprint("c", i))
			f.ApproveUnproved(fmt.Sprint("c", i), "here", 1)
		}
		for _, id := range []string{"proved", "there", "elsewhere", "unused", "c4"} {
			f.registered(id, true)
		}
		f.registered("c3", false)
	},
	"the first address answers for it": func(f *fixture) {
		f.Register("a")
		f.ApproveUnproved("a", "here", 1)
		f.After(time.Second)
		f.ApproveUnproved("a", "there", 1)
		f.Register("b")
		f.ApproveUnproved("b", "there", 1)
		f.registered("a", true)
		f.Register("c")
		f.ApproveUnproved("c", "here", 1)
		f.registered("a", false)
	},
	"somebody who proves who they are makes it used": func(f *fixture) {
		f.Register("a")
		f.ApproveUnproved("a", "here", 1)
		sub := f.Approve("1", "a")
		got, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		if !got.Used || got.Quota != nil || !got.ExpiresAt.Equal(sub.Grant.AbsoluteExpiresAt.Add(sub.KeepClient)) {
			f.Fatalf("%+v", got)
		}
		f.After(time.Second)
		f.ApproveUnproved("a", "here", 1)
		for _, id := range []string{"b", "c"} {
			f.Register(id)
			f.ApproveUnproved(id, "here", 1)
		}
		f.registered("a", true)
	},
	"what was deleted, used or swept no longer counts": func(f *fixture) {
		for _, id := range []string{"deleted", "used", "kept", "new"} {
			f.Register(id)
			if id != "new" {
				f.ApproveUnproved(id, "here", 3)
			}
		}
		_, err := f.Store.DeleteClient(suite.Ctx(), "deleted", f.Now)
		f.Must(err)
		f.Approve("1", "used")
		f.ApproveUnproved("new", "here", 2)
		f.registered("kept", true)
		f.After(200 * 24 * time.Hour)
		_, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Register("later")
		f.ApproveUnproved("later", "here", 1)
		f.Register("last")
		f.ApproveUnproved("last", "here", 2)
		f.registered("later", true)
	},
	"the one that is approved stays when the clock went back": func(f *fixture) {
		f.Register("a")
		f.ApproveUnproved("a", "here", 1)
		f.After(-time.Hour)
		f.Register("b")
		f.ApproveUnproved("b", "here", 1)
		f.registered("a", false)
		f.registered("b", true)
	},
	"no bound": func(f *fixture) {
		for i := range 5 {
			f.Register(fmt.Sprint("c", i))
			f.ApproveUnproved(fmt.Sprint("c", i), "here", 0)
		}
		f.registered("c0", true)
	},
	"racers stay within the quota": func(f *fixture) {
		const quota = 5
		for n := range suite.Racers {
			id := fmt.Sprint(n)
			f.Register(id)
			_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow(id), f.Now)
			f.Must(err)
		}
		f.Together(func(n int) {
			sub := f.Submission(fmt.Sprint(n), fmt.Sprint(n))
			sub.Quota = &storage.Quota{Key: suite.Hash("here"), Max: quota}
			v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
			f.Raced(v, err, storage.OK)
		})
		left := 0
		for n := range suite.Racers {
			if _, err := f.Store.Client(suite.Ctx(), fmt.Sprint(n), f.Now); err == nil {
				left++
			}
		}
		f.Equal(left, quota)
	},
}

// registered tells whether there is a registration.
func (f *fixture) registered(id string, want bool) {
	f.Helper()
	_, err := f.Store.Client(suite.Ctx(), id, f.Now)
	if err != nil && err != storage.ErrNotFound {
		f.Fatal(err)
	}
	if got := err == nil; got != want {
		f.Fatalf("client %s is registered: %t, want %t", id, got, want)
	}
}
