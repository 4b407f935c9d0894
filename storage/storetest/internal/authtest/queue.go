package authtest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// Registrations that nobody approved are bounded together; a flood displaces
// its own.
var unusedClientTests = map[string]func(*fixture){
	"a flood of one sender displaces nobody else G01": func(f *fixture) {
		for i := range 5 {
			f.registerFrom(fmt.Sprint("rightful ", i), fmt.Sprint("somewhere ", i), 20, nil)
			f.After(time.Second)
		}
		for i := range 100 {
			f.registerFrom(fmt.Sprint("flood ", i), "attacker", 20, nil)
			f.After(time.Second)
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
			f.After(time.Second)
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
			f.After(time.Second)
		}
		f.registered("c0", true)
		f.registered("c7", false)
		f.registered("c8", true)
		f.registered("c9", true)
	},
	"if all are spared the oldest gives way": func(f *fixture) {
		for i := range 200 {
			f.registerFrom(fmt.Sprint("c", i), "here", 100, func(string) bool { return true })
			f.After(time.Second)
		}
		f.registered("c99", false)
		f.registered("c100", true)
	},
	"issuers are apart": func(f *fixture) {
		c := f.Client("elsewhere")
		sender := suite.Hash("here")
		c.Issuer, c.Sender = suite.OtherIssuer, &sender
		f.Must(f.Store.CreateClient(suite.Ctx(), c, storage.Unused{Max: 1}))
		for i := range 5 {
			f.registerFrom(fmt.Sprint("c", i), "here", 1, nil)
		}
		f.registered("elsewhere", true)
	},
	"what was approved, deleted or swept no longer counts": func(f *fixture) {
		for _, id := range []string{"approved", "deleted", "kept"} {
			f.registerFrom(id, "here", 3, nil)
			f.After(time.Second)
		}
		f.Approve("1", "approved")
		_, err := f.Store.DeleteClient(suite.Ctx(), "deleted", f.Now)
		f.Must(err)
		f.registerFrom("new", "there", 2, nil)
		f.registered("kept", true)
		f.After(24 * time.Hour)
		_, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.registerFrom("later", "here", 2, nil)
		f.registerFrom("last", "there", 2, nil)
		f.registered("later", true)
		f.registered("approved", true)
	},
	// As in a database of an earlier version.
	"one without sender is bounded by itself": func(f *fixture) {
		for i := range 5 {
			f.Must(f.Store.CreateClient(suite.Ctx(), f.Client(fmt.Sprint("old ", i)), storage.Unused{Max: 3}))
			f.registerFrom(fmt.Sprint("new ", i), "here", 3, nil)
			f.After(time.Second)
		}
		for _, kind := range []string{"old", "new"} {
			f.registered(kind+" 1", false)
			f.registered(kind+" 2", true)
		}
	},
	"racers stay within the bound": func(f *fixture) {
		const max = 5
		f.Together(func(n int) {
			c := f.Client(fmt.Sprint(n))
			sender := suite.Hash("sender %d", n%7)
			c.Sender = &sender
			if err := f.Store.CreateClient(suite.Ctx(), c, storage.Unused{Max: max}); err != nil {
				f.Errorf("racer failed: %v", err)
			}
		})
		left := 0
		for n := range suite.Racers {
			if _, err := f.Store.Client(suite.Ctx(), fmt.Sprint(n), f.Now); err == nil {
				left++
			}
		}
		f.Equal(left, max)
	},
}

// Grants of people who proved nothing are bounded by where they are.
var unprovedGrantTests = map[string]func(*fixture){
	"beyond the quota the oldest is removed whole": func(f *fixture) {
		for i := range 5 {
			f.strangerSignsIn(fmt.Sprint(i), storage.Quota{Key: suite.Hash("here"), Max: 3})
			f.Rotate(f.proved(fmt.Sprint(i), "a", 1), storage.OK)
			f.Rotate(f.proved(fmt.Sprint(i), "a", 2), storage.OK)
			f.After(time.Second)
		}
		for i := range 5 {
			f.whole(fmt.Sprint(i), i >= 2)
		}
		grants, err := f.Store.GrantsOf(suite.Ctx(), suite.Issuer, suite.Alice.Subject, f.Now)
		f.Must(err)
		f.Equal(len(grants), 3)
	},
	"one that ended goes first": func(f *fixture) {
		for i := range 3 {
			f.strangerSignsIn(fmt.Sprint(i), storage.Quota{Key: suite.Hash("here"), Max: 3})
			f.After(time.Second)
		}
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.strangerSignsIn("3", storage.Quota{Key: suite.Hash("here"), Max: 3})
		for i := range 4 {
			f.whole(fmt.Sprint(i), i != 1)
		}
	},
	"a block is bounded, and its largest part gives way": func(f *fixture) {
		sign := func(id, key string) {
			f.strangerSignsIn(id, storage.Quota{Key: suite.Hash("%s", key), Max: 10, Block: suite.Hash("block"), MaxBlock: 6})
			f.After(time.Second)
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
		f.SignIn("proved", "a")
		f.strangerSignsIn("there", storage.Quota{Key: suite.Hash("there"), Max: 1})
		for i := range 4 {
			f.strangerSignsIn(fmt.Sprint(i), storage.Quota{Key: suite.Hash("here"), Max: 1})
			f.After(time.Second)
		}
		f.whole("proved", true)
		f.whole("there", true)
		f.whole("3", true)
		f.whole("2", false)
	},
	"one that was swept no longer counts": func(f *fixture) {
		f.strangerSignsIn("old", storage.Quota{Key: suite.Hash("here"), Max: 2})
		f.After(91 * 24 * time.Hour)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.strangerSignsIn("1", storage.Quota{Key: suite.Hash("here"), Max: 2})
		f.After(time.Second)
		f.strangerSignsIn("2", storage.Quota{Key: suite.Hash("here"), Max: 2})
		f.whole("1", true)
		f.whole("2", true)
	},
	"no bound": func(f *fixture) {
		for i := range 5 {
			f.strangerSignsIn(fmt.Sprint(i), storage.Quota{Key: suite.Hash("here")})
		}
		f.whole("0", true)
	},
}

// registerFrom stores a client of a sender.
func (f *fixture) registerFrom(id, sender string, max int, spare func(string) bool) {
	f.Helper()
	c := f.Client(id)
	from := suite.Hash("%s", sender)
	c.Sender = &from
	f.Must(f.Store.CreateClient(suite.Ctx(), c, storage.Unused{Max: max, Spare: spare}))
}

// strangerSignsIn takes a flow of somebody without proof to its first tokens.
func (f *fixture) strangerSignsIn(id string, quota storage.Quota) {
	f.Helper()
	v, err := f.Store.SaveFlow(suite.Ctx(), f.Flow(id), f.Now)
	f.Verdict(v, err, storage.OK)
	sub := f.Submission(id, "a")
	sub.Quota = &quota
	v, err = f.Store.SubmitFlow(suite.Ctx(), sub)
	f.Verdict(v, err, storage.OK)
	res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim(id, "a"))
	f.Verdict(res.Verdict, err, storage.OK)
}

// whole tells whether a grant is there with all that belongs to it, or nothing
// is.
func (f *fixture) whole(id string, want bool) {
	f.Helper()
	_, grant := f.Store.Grant(suite.Ctx(), "g-"+id, f.Now)
	_, code := f.Store.Code(suite.Ctx(), suite.Hash("code %s", id), f.Now)
	_, access := f.Store.AccessToken(suite.Ctx(), suite.Hash("access %s 0", id), f.Now)
	for what, err := range map[string]error{"grant": grant, "code": code, "access token": access} {
		if got := err == nil; got != want || err != nil && err != storage.ErrNotFound {
			f.Fatalf("%s of %s: %v, want it there: %t", what, id, err, want)
		}
	}
	if want {
		return
	}
	for n := range 3 {
		if _, _, err := f.Store.RefreshToken(suite.Ctx(), suite.Hash("refresh %s %d", id, n), f.Now); err != storage.ErrNotFound {
			f.Fatalf("refresh token %d of %s: %v", n, id, err)
		}
	}
}
