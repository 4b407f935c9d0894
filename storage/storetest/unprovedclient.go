package storetest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A registration that only identities without proof approved is kept as long
// as what they approved, and bounded by where they are.
var unprovedClientTests = map[string]func(*fixture){
	"is kept as long as the grant can live, and is not used G03": func(f *fixture) {
		f.register("a")
		sub := f.approveUnproved("a", "here", 1)
		got, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		if got.Used || !got.ExpiresAt.Equal(sub.Grant.AbsoluteExpiresAt) {
			f.Fatalf("%+v", got)
		}
		f.now = sub.Grant.AbsoluteExpiresAt.Add(-1)
		_, err = f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.registered("a", true)
		f.after(1)
		f.registered("a", false)
	},
	"a flood of registrations does not evict it G01": func(f *fixture) {
		f.register("a")
		f.approveUnproved("a", "here", 1)
		for i := range 10 {
			f.must(f.store.CreateClient(ctx(), f.client(fmt.Sprint("c", i)), storage.Unused{Max: 3}))
		}
		f.registered("a", true)
		f.registered("c6", false)
		f.registered("c7", true)
	},
	"beyond the quota, what nobody approved for longest gives way G01 G02": func(f *fixture) {
		for i := range 5 {
			f.after(time.Second)
			f.register(fmt.Sprint("c", i))
			f.approveUnproved(fmt.Sprint("c", i), "here", 3)
			f.registered(fmt.Sprint("c", i), true)
		}
		f.registered("c1", false)
		f.registered("c2", true)
		f.after(time.Second)
		f.approveUnproved("c2", "here", 3) // once more: now c3 is the oldest
		f.register("c5")
		f.approveUnproved("c5", "here", 3)
		f.registered("c2", true)
		f.registered("c3", false)
		f.registered("c4", true)
	},
	"others are not concerned G01": func(f *fixture) {
		for _, id := range []string{"proved", "there", "elsewhere", "unused"} {
			c := f.client(id)
			if id == "elsewhere" {
				c.Issuer = otherIssuer
			}
			f.must(f.store.CreateClient(ctx(), c, storage.Unused{}))
		}
		f.approve("1", "proved")
		f.approveUnproved("there", "there", 1)
		f.approveUnproved("elsewhere", "here", 1)
		for i := range 5 {
			f.after(time.Second)
			f.register(fmt.Sprint("c", i))
			f.approveUnproved(fmt.Sprint("c", i), "here", 1)
		}
		for _, id := range []string{"proved", "there", "elsewhere", "unused", "c4"} {
			f.registered(id, true)
		}
		f.registered("c3", false)
	},
	"the first address answers for it": func(f *fixture) {
		f.register("a")
		f.approveUnproved("a", "here", 1)
		f.after(time.Second)
		f.approveUnproved("a", "there", 1)
		f.register("b")
		f.approveUnproved("b", "there", 1)
		f.registered("a", true)
		f.register("c")
		f.approveUnproved("c", "here", 1)
		f.registered("a", false)
	},
	"somebody who proves who they are makes it used": func(f *fixture) {
		f.register("a")
		f.approveUnproved("a", "here", 1)
		sub := f.approve("1", "a")
		got, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		if !got.Used || got.Quota != nil || !got.ExpiresAt.Equal(sub.Grant.AbsoluteExpiresAt.Add(sub.KeepClient)) {
			f.Fatalf("%+v", got)
		}
		f.after(time.Second)
		f.approveUnproved("a", "here", 1)
		for _, id := range []string{"b", "c"} {
			f.register(id)
			f.approveUnproved(id, "here", 1)
		}
		f.registered("a", true)
	},
	"what was deleted, used or swept no longer counts": func(f *fixture) {
		for _, id := range []string{"deleted", "used", "kept", "new"} {
			f.register(id)
			if id != "new" {
				f.approveUnproved(id, "here", 3)
			}
		}
		_, err := f.store.DeleteClient(ctx(), "deleted", f.now)
		f.must(err)
		f.approve("1", "used")
		f.approveUnproved("new", "here", 2)
		f.registered("kept", true)
		f.after(200 * 24 * time.Hour)
		_, err = f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.register("later")
		f.approveUnproved("later", "here", 1)
		f.register("last")
		f.approveUnproved("last", "here", 2)
		f.registered("later", true)
	},
	"the one that is approved stays when the clock went back": func(f *fixture) {
		f.register("a")
		f.approveUnproved("a", "here", 1)
		f.after(-time.Hour)
		f.register("b")
		f.approveUnproved("b", "here", 1)
		f.registered("a", false)
		f.registered("b", true)
	},
	"no bound": func(f *fixture) {
		for i := range 5 {
			f.register(fmt.Sprint("c", i))
			f.approveUnproved(fmt.Sprint("c", i), "here", 0)
		}
		f.registered("c0", true)
	},
	"racers stay within the quota": func(f *fixture) {
		const quota = 5
		for n := range racers {
			id := fmt.Sprint(n)
			f.register(id)
			_, err := f.store.SaveFlow(ctx(), f.flow(id), f.now)
			f.must(err)
		}
		f.together(func(n int) {
			sub := f.submission(fmt.Sprint(n), fmt.Sprint(n))
			sub.Quota = &storage.Quota{Key: hash("here"), Max: quota}
			v, err := f.store.SubmitFlow(ctx(), sub)
			f.raced(v, err, storage.OK)
		})
		left := 0
		for n := range racers {
			if _, err := f.store.Client(ctx(), fmt.Sprint(n), f.now); err == nil {
				left++
			}
		}
		f.equal(left, quota)
	},
}

// approveUnproved approves a client as somebody without proof at an address.
func (f *fixture) approveUnproved(clientID, address string, max int) storage.Submission {
	f.Helper()
	flow := fmt.Sprint(clientID, " from ", address, " at ", f.now)
	v, err := f.store.SaveFlow(ctx(), f.flow(flow), f.now)
	f.verdict(v, err, storage.OK)
	sub := f.submission(flow, clientID)
	sub.KeepClient, sub.Quota = 0, &storage.Quota{Key: hash("%s", address), Max: max}
	v, err = f.store.SubmitFlow(ctx(), sub)
	f.verdict(v, err, storage.OK)
	return sub
}

// registered tells whether there is a registration.
func (f *fixture) registered(id string, want bool) {
	f.Helper()
	_, err := f.store.Client(ctx(), id, f.now)
	if err != nil && err != storage.ErrNotFound {
		f.Fatal(err)
	}
	if got := err == nil; got != want {
		f.Fatalf("client %s is registered: %t, want %t", id, got, want)
	}
}
