package storetest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Registrations that nobody approved are bounded together; a flood displaces
// its own.
var unusedClientTests = map[string]func(*fixture){
	"a flood of one sender displaces nobody else G01": func(f *fixture) {
		for i := range 5 {
			f.registerFrom(fmt.Sprint("rightful ", i), fmt.Sprint("somewhere ", i), 20, nil)
			f.after(time.Second)
		}
		for i := range 100 {
			f.registerFrom(fmt.Sprint("flood ", i), "attacker", 20, nil)
			f.after(time.Second)
		}
		for i := range 5 {
			f.registered(fmt.Sprint("rightful ", i), true)
		}
		f.registered("flood 84", false)
		f.registered("flood 85", true)
		f.registered("flood 99", true)
	},
	"a newcomer gets in G01": func(f *fixture) {
		for i := range 30 {
			f.registerFrom(fmt.Sprint("flood ", i), "attacker", 20, nil)
		}
		f.registerFrom("rightful", "elsewhere", 20, nil)
		f.registered("rightful", true)
	},
	"of equal senders the oldest gives way": func(f *fixture) {
		for i := range 4 {
			f.registerFrom(fmt.Sprint("c", i), fmt.Sprint("sender ", i), 3, nil)
			f.after(time.Second)
		}
		f.registered("c0", false)
		for i := 1; i < 4; i++ {
			f.registered(fmt.Sprint("c", i), true)
		}
	},
	"one that is about to be approved is spared": func(f *fixture) {
		spare := func(id string) bool { return id == "c0" }
		for i := range 10 {
			f.registerFrom(fmt.Sprint("c", i), "here", 3, spare)
			f.after(time.Second)
		}
		f.registered("c0", true)
		f.registered("c7", false)
		f.registered("c8", true)
		f.registered("c9", true)
	},
	"if all are spared the oldest gives way": func(f *fixture) {
		for i := range 200 {
			f.registerFrom(fmt.Sprint("c", i), "here", 100, func(string) bool { return true })
			f.after(time.Second)
		}
		f.registered("c99", false)
		f.registered("c100", true)
	},
	"issuers are apart": func(f *fixture) {
		c := f.client("elsewhere")
		sender := hash("here")
		c.Issuer, c.Sender = otherIssuer, &sender
		f.must(f.store.CreateClient(ctx(), c, storage.Unused{Max: 1}))
		for i := range 5 {
			f.registerFrom(fmt.Sprint("c", i), "here", 1, nil)
		}
		f.registered("elsewhere", true)
	},
	"what was approved, deleted or swept no longer counts": func(f *fixture) {
		for _, id := range []string{"approved", "deleted", "kept"} {
			f.registerFrom(id, "here", 3, nil)
			f.after(time.Second)
		}
		f.approve("1", "approved")
		_, err := f.store.DeleteClient(ctx(), "deleted", f.now)
		f.must(err)
		f.registerFrom("new", "there", 2, nil)
		f.registered("kept", true)
		f.after(24 * time.Hour)
		_, err = f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.registerFrom("later", "here", 2, nil)
		f.registerFrom("last", "there", 2, nil)
		f.registered("later", true)
		f.registered("approved", true)
	},
	// As in a database of an earlier version.
	"one without sender is bounded by itself": func(f *fixture) {
		for i := range 5 {
			f.must(f.store.CreateClient(ctx(), f.client(fmt.Sprint("old ", i)), storage.Unused{Max: 3}))
			f.registerFrom(fmt.Sprint("new ", i), "here", 3, nil)
			f.after(time.Second)
		}
		for _, kind := range []string{"old", "new"} {
			f.registered(kind+" 1", false)
			f.registered(kind+" 2", true)
		}
	},
	"racers stay within the bound": func(f *fixture) {
		const max = 5
		f.together(func(n int) {
			c := f.client(fmt.Sprint(n))
			sender := hash("sender %d", n%7)
			c.Sender = &sender
			if err := f.store.CreateClient(ctx(), c, storage.Unused{Max: max}); err != nil {
				f.Errorf("racer failed: %v", err)
			}
		})
		left := 0
		for n := range racers {
			if _, err := f.store.Client(ctx(), fmt.Sprint(n), f.now); err == nil {
				left++
			}
		}
		f.equal(left, max)
	},
}

// Grants of people who proved nothing are bounded by where they are.
var unprovedGrantTests = map[string]func(*fixture){
	"beyond the quota the oldest is removed whole": func(f *fixture) {
		for i := range 5 {
			f.strangerSignsIn(fmt.Sprint(i), storage.Quota{Key: hash("here"), Max: 3})
			f.rotate(f.proved(fmt.Sprint(i), "a", 1), storage.OK)
			f.rotate(f.proved(fmt.Sprint(i), "a", 2), storage.OK)
			f.after(time.Second)
		}
		for i := range 5 {
			f.whole(fmt.Sprint(i), i >= 2)
		}
		grants, err := f.store.GrantsOf(ctx(), issuer, alice.Subject, f.now)
		f.must(err)
		f.equal(len(grants), 3)
	},
	"one that ended goes first": func(f *fixture) {
		for i := range 3 {
			f.strangerSignsIn(fmt.Sprint(i), storage.Quota{Key: hash("here"), Max: 3})
			f.after(time.Second)
		}
		_, err := f.store.RevokeGrant(ctx(), "g-1", f.now)
		f.must(err)
		f.strangerSignsIn("3", storage.Quota{Key: hash("here"), Max: 3})
		for i := range 4 {
			f.whole(fmt.Sprint(i), i != 1)
		}
	},
	"a block is bounded, and its largest part gives way": func(f *fixture) {
		sign := func(id, key string) {
			f.strangerSignsIn(id, storage.Quota{Key: hash("%s", key), Max: 10, Block: hash("block"), MaxBlock: 6})
			f.after(time.Second)
		}
		sign("rightful", "one")
		for i := range 10 {
			sign(fmt.Sprint(i), "two")
		}
		f.whole("rightful", true)
		f.whole("4", false)
		f.whole("5", true)
	},
	"others are not concerned": func(f *fixture) {
		f.signIn("proved", "a")
		f.strangerSignsIn("there", storage.Quota{Key: hash("there"), Max: 1})
		for i := range 4 {
			f.strangerSignsIn(fmt.Sprint(i), storage.Quota{Key: hash("here"), Max: 1})
			f.after(time.Second)
		}
		f.whole("proved", true)
		f.whole("there", true)
		f.whole("3", true)
		f.whole("2", false)
	},
	"one that was swept no longer counts": func(f *fixture) {
		f.strangerSignsIn("old", storage.Quota{Key: hash("here"), Max: 2})
		f.after(91 * 24 * time.Hour)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.strangerSignsIn("1", storage.Quota{Key: hash("here"), Max: 2})
		f.after(time.Second)
		f.strangerSignsIn("2", storage.Quota{Key: hash("here"), Max: 2})
		f.whole("1", true)
		f.whole("2", true)
	},
	"no bound": func(f *fixture) {
		for i := range 5 {
			f.strangerSignsIn(fmt.Sprint(i), storage.Quota{Key: hash("here")})
		}
		f.whole("0", true)
	},
}

// Browser sessions of people who proved nothing are bounded by where they are.
var unprovedSessionTests = map[string]func(*fixture){
	"a block is bounded, and its largest part gives way": func(f *fixture) {
		sign := func(id, key string) {
			b := f.browserSession(id, alice)
			b.Quota = &storage.Quota{Key: hash("%s", key), Max: 10, Block: hash("block"), MaxBlock: 6}
			f.must(f.store.CreateBrowserSession(ctx(), b))
			f.after(time.Second)
		}
		sign("rightful", "one")
		for i := range 10 {
			sign(fmt.Sprint(i), "two")
		}
		f.signedIn("rightful", true)
		f.signedIn("4", false)
		f.signedIn("5", true)
	},
	"beyond the quota the oldest end": func(f *fixture) {
		quota := &storage.Quota{Key: hash("here"), Max: 3, Block: hash("block"), MaxBlock: 10}
		proved := f.browserSession("proved", alice)
		f.must(f.store.CreateBrowserSession(ctx(), proved))
		for i := range 5 {
			f.after(time.Second)
			b := f.browserSession(fmt.Sprint(i), alice)
			b.Quota = quota
			f.must(f.store.CreateBrowserSession(ctx(), b))
		}
		for i := range 5 {
			f.signedIn(fmt.Sprint(i), i >= 2)
		}
		f.signedIn("proved", true)
	},
	"one that ended goes first": func(f *fixture) {
		quota := &storage.Quota{Key: hash("here"), Max: 2}
		for i := range 2 {
			f.after(time.Second)
			b := f.browserSession(fmt.Sprint(i), alice)
			b.Quota = quota
			f.must(f.store.CreateBrowserSession(ctx(), b))
		}
		f.must(f.store.DeleteBrowserSession(ctx(), f.browserSession("1", alice).Hash, nil, f.now))
		b := f.browserSession("2", alice)
		b.Quota = quota
		f.must(f.store.CreateBrowserSession(ctx(), b))
		f.signedIn("0", true)
		f.signedIn("2", true)
	},
}

// registerFrom stores a client of a sender.
func (f *fixture) registerFrom(id, sender string, max int, spare func(string) bool) {
	f.Helper()
	c := f.client(id)
	from := hash("%s", sender)
	c.Sender = &from
	f.must(f.store.CreateClient(ctx(), c, storage.Unused{Max: max, Spare: spare}))
}

// strangerSignsIn takes a flow of somebody without proof to its first tokens.
func (f *fixture) strangerSignsIn(id string, quota storage.Quota) {
	f.Helper()
	v, err := f.store.SaveFlow(ctx(), f.flow(id), f.now)
	f.verdict(v, err, storage.OK)
	sub := f.submission(id, "a")
	sub.Quota = &quota
	v, err = f.store.SubmitFlow(ctx(), sub)
	f.verdict(v, err, storage.OK)
	res, err := f.store.ClaimCode(ctx(), f.claim(id, "a"))
	f.verdict(res.Verdict, err, storage.OK)
}

// whole tells whether a grant is there with all that belongs to it, or nothing
// is.
func (f *fixture) whole(id string, want bool) {
	f.Helper()
	_, grant := f.store.Grant(ctx(), "g-"+id, f.now)
	_, code := f.store.Code(ctx(), hash("code %s", id), f.now)
	_, access := f.store.AccessToken(ctx(), hash("access %s 0", id), f.now)
	for what, err := range map[string]error{"grant": grant, "code": code, "access token": access} {
		if got := err == nil; got != want || err != nil && err != storage.ErrNotFound {
			f.Fatalf("%s of %s: %v, want it there: %t", what, id, err, want)
		}
	}
	if want {
		return
	}
	for n := range 3 {
		if _, _, err := f.store.RefreshToken(ctx(), hash("refresh %s %d", id, n), f.now); err != storage.ErrNotFound {
			f.Fatalf("refresh token %d of %s: %v", n, id, err)
		}
	}
}
