package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// What was begun by somebody is finished only while they are still there.
var authenticationTests = map[string]func(*fixture){
	"in a browser session": func(f *fixture) {
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		f.putsWhile(signedInAs(alice, "1"), storage.OK)
	},
	"not by another proof, nor by somebody else": func(f *fixture) {
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		f.putsWhile(signedInAs(aliceAnew, "1"), storage.SignedOut)
		f.putsWhile(signedInAs(bob, "1"), storage.SignedOut)
		f.putsWhile(signedInAs(alice, "unknown"), storage.SignedOut)
		f.putsWhile(storage.Authentication{Identity: alice}, storage.SignedOut)
	},
	"not at another issuer": func(f *fixture) {
		b := f.browserSession("1", alice)
		b.Issuer = otherIssuer
		f.must(f.store.CreateBrowserSession(ctx(), b))
		f.putsWhile(signedInAs(alice, "1"), storage.SignedOut)
	},
	"not after signing out": func(f *fixture) {
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		f.must(f.store.DeleteBrowserSession(ctx(), hash("cookie 1"), nil, f.now))
		f.putsWhile(signedInAs(alice, "1"), storage.SignedOut)
	},
	"not after signing out everywhere": func(f *fixture) {
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		f.must(f.store.DeleteBrowserSessions(ctx(), issuer, alice.Subject))
		f.putsWhile(signedInAs(alice, "1"), storage.SignedOut)
	},
	"not after somebody signed in in the same browser": func(f *fixture) {
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		next := f.browserSession("2", bob)
		next.Replaces = hash("cookie 1")
		f.must(f.store.CreateBrowserSession(ctx(), next))
		f.putsWhile(signedInAs(alice, "1"), storage.SignedOut)
	},
	"not after the session": func(f *fixture) {
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		f.after(30 * 24 * time.Hour)
		f.putsWhile(signedInAs(alice, "1"), storage.SignedOut)
	},
	"in a flow": func(f *fixture) {
		f.identified("1")
		f.putsWhile(in("1", bob), storage.SignedOut)
		f.putsWhile(in("1", aliceAnew), storage.SignedOut)
		f.putsWhile(in("2", alice), storage.SignedOut)
		f.putsWhile(in("1", alice), storage.OK)
	},
	"not after the flow": func(f *fixture) {
		f.approve("1", "a")
		f.putsWhile(in("1", alice), storage.SignedOut)
		f.identified("2")
		f.after(15 * time.Minute)
		f.putsWhile(in("2", alice), storage.SignedOut)
	},
	"not after it became somebody else's": func(f *fixture) {
		f.identified("1")
		changed := f.flow("1")
		changed.Identity = aliceAnew
		v, err := f.store.SaveFlow(ctx(), changed, f.now)
		f.verdict(v, err, storage.OK)
		f.putsWhile(in("1", alice), storage.SignedOut)
	},
}

func signedInAs(who storage.Identity, name string) storage.Authentication {
	return storage.Authentication{Identity: who, Session: hash("cookie %s", name)}
}

func in(flow string, who storage.Identity) storage.Authentication {
	return storage.Authentication{Identity: who, FlowID: flow}
}

// putsWhile stores a connection for somebody, and with any verdict but OK
// checks that nothing was changed.
func (f *fixture) putsWhile(p storage.Authentication, want storage.Verdict) {
	f.Helper()
	c := f.using(f.connection(alice.Subject, "notion"), "link")
	c.Authentication = &p
	got, v, err := f.store.PutConnection(ctx(), c, f.now)
	f.verdict(v, err, want)
	if want == storage.OK {
		f.equal(got.Authentication, (*storage.Authentication)(nil))
		f.stands(got)
		return
	}
	f.noConnection(c)
	f.used("link", false)
}

var endFlowTests = map[string]func(*fixture){
	"as if nobody had said who they are": func(f *fixture) {
		f.identified("1")
		f.must(f.store.EndFlows(ctx(), issuer, alice.Subject, f.now))
		f.flowIsThere("1", false)
		v, err := f.store.SubmitFlow(ctx(), f.submission("1", "a"))
		f.verdict(v, err, storage.Unknown)
		f.nothingApproved("1")
		f.identified("1")
		f.flowIsThere("1", true)
	},
	"with what was connected, and was about to be": func(f *fixture) {
		f.identified("1")
		c := f.put(f.abandoned("1", "notion"))
		f.leave("trip", storage.FlowOwner("1"), "github")
		f.must(f.store.EndFlows(ctx(), issuer, alice.Subject, f.now))
		f.noConnection(c)
		f.comeBack("trip", storage.Unknown)
		f.equal(f.due(10), []string{"abandoned 1"})
	},
	"of one subject at one issuer, and those that wait": func(f *fixture) {
		elsewhere, bobs := f.flow("2"), f.flow("3")
		elsewhere.Issuer, bobs.Identity = otherIssuer, bob
		for _, flow := range []storage.Flow{elsewhere, bobs} {
			v, err := f.store.SaveFlow(ctx(), flow, f.now)
			f.verdict(v, err, storage.OK)
		}
		f.approve("4", "a")
		f.must(f.store.EndFlows(ctx(), issuer, alice.Subject, f.now))
		for _, id := range []string{"2", "3", "4"} {
			f.flowIsThere(id, true)
		}
	},
	"of whoever has the name": func(f *fixture) {
		anew := f.flow("1")
		anew.Identity = aliceAnew
		v, err := f.store.SaveFlow(ctx(), anew, f.now)
		f.verdict(v, err, storage.OK)
		f.must(f.store.EndFlows(ctx(), issuer, alice.Subject, f.now))
		f.flowIsThere("1", false)
	},
	"not one that became somebody else's": func(f *fixture) {
		f.identified("1")
		changed := f.flow("1")
		changed.Identity = bob
		v, err := f.store.SaveFlow(ctx(), changed, f.now)
		f.verdict(v, err, storage.OK)
		f.must(f.store.EndFlows(ctx(), issuer, alice.Subject, f.now))
		f.flowIsThere("1", true)
		f.must(f.store.EndFlows(ctx(), issuer, bob.Subject, f.now))
		f.flowIsThere("1", false)
	},
	"signing out ends those of the browser": func(f *fixture) {
		f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("1", alice)))
		f.flowsIn("here", "there")
		f.must(f.store.DeleteBrowserSession(ctx(), hash("cookie 1"), []storage.Hash{hash("here"), hash("unknown")}, f.now))
		f.flowIsThere("here", false)
		f.flowIsThere("there", true)
		f.must(f.store.DeleteBrowserSession(ctx(), hash("cookie 1"), []storage.Hash{hash("there")}, f.now))
		f.flowIsThere("there", true) // nobody is signed in any more
	},
	"somebody else's signing in ends those of the browser": func(f *fixture) {
		for name, who := range map[string]storage.Identity{"bob": bob, "anew": aliceAnew, "alice": alice} {
			f.must(f.store.CreateBrowserSession(ctx(), f.browserSession(name, alice)))
			f.flowsIn(name+" here", name+" there")
			next := f.browserSession(name+" next", who)
			next.Replaces, next.Flows = hash("cookie %s", name), []storage.Hash{hash("%s here", name)}
			f.must(f.store.CreateBrowserSession(ctx(), next))
			f.flowIsThere(name+" here", name == "alice")
			f.flowIsThere(name+" there", true)
		}
	},
	"somebody in particular's signing in ends those of everybody else in the browser": func(f *fixture) {
		for name, who := range map[string]storage.Identity{"bob": bob, "anew": aliceAnew, "alice": alice} {
			for how, ends := range map[string]bool{" in particular": who != alice, " or other": false} {
				f.flowsIn(name+how+" here", name+how+" there")
				next := f.browserSession(name+how, who)
				next.Flows, next.EndsOthers = []storage.Hash{hash("%s here", name+how)}, how == " in particular"
				f.must(f.store.CreateBrowserSession(ctx(), next))
				f.flowIsThere(name+how+" here", !ends)
				f.flowIsThere(name+how+" there", true)
				got, err := f.store.BrowserSession(ctx(), next.Hash, f.now)
				f.must(err)
				f.equal(got.EndsOthers, false)
			}
		}
	},
	"somebody else in a flow starts over": func(f *fixture) {
		for name, who := range map[string]storage.Identity{"bob": bob, "anew": aliceAnew} {
			f.identified(name)
			c := f.put(f.abandoned(name, "notion"))
			f.leave(name, storage.FlowOwner(name), "github")
			f.identified(name) // again
			f.stands(c)
			changed := f.flow(name)
			changed.Identity = who
			v, err := f.store.SaveFlow(ctx(), changed, f.now)
			f.verdict(v, err, storage.OK)
			f.noConnection(c)
			f.comeBack(name, storage.Unknown)
			f.equal(f.due(10), []string{"abandoned " + name})
			f.must(f.store.EndRevocation(ctx(), "abandoned "+name))
		}
	},
}

// flowsIn stores flows of alice, each bound to a cookie of its name.
func (f *fixture) flowsIn(names ...string) {
	f.Helper()
	for _, name := range names {
		flow := f.flow(name)
		flow.Browser = hash("%s", name)
		v, err := f.store.SaveFlow(ctx(), flow, f.now)
		f.verdict(v, err, storage.OK)
	}
}

// flowIsThere tells whether a flow has a record.
func (f *fixture) flowIsThere(id string, want bool) {
	f.Helper()
	_, err := f.store.Flow(ctx(), id, f.now)
	if err != nil && err != storage.ErrNotFound {
		f.Fatal(err)
	}
	if got := err == nil; got != want {
		f.Fatalf("flow %q is there: %t, want %t", id, got, want)
	}
}
