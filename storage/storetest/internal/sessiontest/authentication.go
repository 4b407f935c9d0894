package sessiontest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// What was begun by somebody is finished only while they are still there.
var authenticationTests = map[string]func(*fixture){
	"in a browser session": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		f.putsWhile(signedInAs(suite.Alice, "1"), storage.OK)
	},
	"not by another proof, nor by somebody else": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		f.putsWhile(signedInAs(suite.AliceAnew, "1"), storage.SignedOut)
		f.putsWhile(signedInAs(suite.Bob, "1"), storage.SignedOut)
		f.putsWhile(signedInAs(suite.Alice, "unknown"), storage.SignedOut)
		f.putsWhile(storage.Authentication{Identity: suite.Alice}, storage.SignedOut)
	},
	"not at another issuer": func(f *fixture) {
		b := f.BrowserSession("1", suite.Alice)
		b.Issuer = suite.OtherIssuer
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), b))
		f.putsWhile(signedInAs(suite.Alice, "1"), storage.SignedOut)
	},
	"not after signing out": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		f.Must(f.Store.DeleteBrowserSession(suite.Ctx(), suite.Hash("cookie 1"), nil, f.Now))
		f.putsWhile(signedInAs(suite.Alice, "1"), storage.SignedOut)
	},
	"not after signing out everywhere": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		f.Must(f.Store.DeleteBrowserSessions(suite.Ctx(), suite.Issuer, suite.Alice.Subject))
		f.putsWhile(signedInAs(suite.Alice, "1"), storage.SignedOut)
	},
	"not after somebody signed in in the same browser": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		next := f.BrowserSession("2", suite.Bob)
		next.Replaces = suite.Hash("cookie 1")
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), next))
		f.putsWhile(signedInAs(suite.Alice, "1"), storage.SignedOut)
	},
	"not after the session": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		f.After(30 * 24 * time.Hour)
		f.putsWhile(signedInAs(suite.Alice, "1"), storage.SignedOut)
	},
	"in a flow": func(f *fixture) {
		f.Identified("1")
		f.putsWhile(in("1", suite.Bob), storage.SignedOut)
		f.putsWhile(in("1", suite.AliceAnew), storage.SignedOut)
		f.putsWhile(in("2", suite.Alice), storage.SignedOut)
		f.putsWhile(in("1", suite.Alice), storage.OK)
	},
	"not after the flow": func(f *fixture) {
		f.Approve("1", "a")
		f.putsWhile(in("1", suite.Alice), storage.SignedOut)
		f.Identified("2")
		f.After(15 * time.Minute)
		f.putsWhile(in("2", suite.Alice), storage.SignedOut)
	},
	"not after it became somebody else's": func(f *fixture) {
		f.Identified("1")
		changed := f.Flow("1")
		changed.Identity = suite.AliceAnew
		v, err := f.Store.SaveFlow(suite.Ctx(), changed, f.Now)
		f.Verdict(v, err, storage.OK)
		f.putsWhile(in("1", suite.Alice), storage.SignedOut)
	},
}

func signedInAs(who storage.Identity, name string) storage.Authentication {
	return storage.Authentication{Identity: who, Session: suite.Hash("cookie %s", name)}
}

func in(flow string, who storage.Identity) storage.Authentication {
	return storage.Authentication{Identity: who, FlowID: flow}
}

// putsWhile stores a connection for somebody, and with any verdict but OK
// checks that nothing was changed.
func (f *fixture) putsWhile(p storage.Authentication, want storage.Verdict) {
	f.Helper()
	c := f.Using(f.Connection(suite.Alice.Subject, "notion"), "link")
	c.Authentication = &p
	got, v, err := f.Store.ReplaceConnection(suite.Ctx(), c, f.Now)
	f.Verdict(v, err, want)
	if want == storage.OK {
		f.Stored(got)
		return
	}
	f.NoConnection(c.Connection)
	f.Used("link", false)
}

var endFlowTests = map[string]func(*fixture){
	"as if nobody had said who they are": func(f *fixture) {
		f.Identified("1")
		f.Must(f.Store.EndFlows(suite.Ctx(), suite.Issuer, suite.Alice.Subject, f.Now))
		f.flowIsThere("1", false)
		v, err := f.Store.SubmitFlow(suite.Ctx(), f.Submission("1", "a"))
		f.Verdict(v, err, storage.Unknown)
		f.NothingApproved("1")
		f.Identified("1")
		f.flowIsThere("1", true)
	},
	"with what was connected, and was about to be": func(f *fixture) {
		f.Identified("1")
		c := f.Put(f.Abandoned("1", "notion"))
		f.SaveConnectState("state", storage.FlowOwner("1"), "github")
		f.Must(f.Store.EndFlows(suite.Ctx(), suite.Issuer, suite.Alice.Subject, f.Now))
		f.NoConnection(c)
		f.ClaimConnectState("state", storage.Unknown)
		f.Equal(f.Due(10), []string{"abandoned 1"})
	},
	"of one subject at one issuer, and those that wait": func(f *fixture) {
		elsewhere, bobs := f.Flow("2"), f.Flow("3")
		elsewhere.Issuer, bobs.Identity = suite.OtherIssuer, suite.Bob
		for _, flow := range []storage.Flow{elsewhere, bobs} {
			v, err := f.Store.SaveFlow(suite.Ctx(), flow, f.Now)
			f.Verdict(v, err, storage.OK)
		}
		f.Approve("4", "a")
		f.Must(f.Store.EndFlows(suite.Ctx(), suite.Issuer, suite.Alice.Subject, f.Now))
		for _, id := range []string{"2", "3", "4"} {
			f.flowIsThere(id, true)
		}
	},
	"of whoever has the name": func(f *fixture) {
		anew := f.Flow("1")
		anew.Identity = suite.AliceAnew
		v, err := f.Store.SaveFlow(suite.Ctx(), anew, f.Now)
		f.Verdict(v, err, storage.OK)
		f.Must(f.Store.EndFlows(suite.Ctx(), suite.Issuer, suite.Alice.Subject, f.Now))
		f.flowIsThere("1", false)
	},
	"not one that became somebody else's": func(f *fixture) {
		f.Identified("1")
		changed := f.Flow("1")
		changed.Identity = suite.Bob
		v, err := f.Store.SaveFlow(suite.Ctx(), changed, f.Now)
		f.Verdict(v, err, storage.OK)
		f.Must(f.Store.EndFlows(suite.Ctx(), suite.Issuer, suite.Alice.Subject, f.Now))
		f.flowIsThere("1", true)
		f.Must(f.Store.EndFlows(suite.Ctx(), suite.Issuer, suite.Bob.Subject, f.Now))
		f.flowIsThere("1", false)
	},
	"signing out ends those of the browser": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("1", suite.Alice)))
		f.flowsIn("here", "there")
		f.Must(f.Store.DeleteBrowserSession(suite.Ctx(), suite.Hash("cookie 1"), []storage.Hash{suite.Hash("here"), suite.Hash("unknown")}, f.Now))
		f.flowIsThere("here", false)
		f.flowIsThere("there", true)
		f.Must(f.Store.DeleteBrowserSession(suite.Ctx(), suite.Hash("cookie 1"), []storage.Hash{suite.Hash("there")}, f.Now))
		f.flowIsThere("there", true) // nobody is signed in any more
	},
	"somebody else's signing in ends those of the browser": func(f *fixture) {
		for name, who := range map[string]storage.Identity{"bob": suite.Bob, "anew": suite.AliceAnew, "alice": suite.Alice} {
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession(name, suite.Alice)))
			f.flowsIn(name+" here", name+" there")
			next := f.BrowserSession(name+" next", who)
			next.Replaces, next.Flows = suite.Hash("cookie %s", name), []storage.Hash{suite.Hash("%s here", name)}
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), next))
			f.flowIsThere(name+" here", name == "alice")
			f.flowIsThere(name+" there", true)
		}
	},
	"somebody in particular's signing in ends those of everybody else in the browser": func(f *fixture) {
		for name, who := range map[string]storage.Identity{"bob": suite.Bob, "anew": suite.AliceAnew, "alice": suite.Alice} {
			for how, ends := range map[string]bool{" in particular": who != suite.Alice, " or other": false} {
				f.flowsIn(name+how+" here", name+how+" there")
				next := f.BrowserSession(name+how, who)
				next.Flows, next.EndsOthers = []storage.Hash{suite.Hash("%s here", name+how)}, how == " in particular"
				f.Must(f.Store.CreateBrowserSession(suite.Ctx(), next))
				f.flowIsThere(name+how+" here", !ends)
				f.flowIsThere(name+how+" there", true)
				f.SignedIn(name+how, true)
			}
		}
	},
	"somebody else in a flow starts over": func(f *fixture) {
		for name, who := range map[string]storage.Identity{"bob": suite.Bob, "anew": suite.AliceAnew} {
			f.Identified(name)
			c := f.Put(f.Abandoned(name, "notion"))
			f.SaveConnectState(name, storage.FlowOwner(name), "github")
			f.Identified(name) // again
			f.Stored(c)
			changed := f.Flow(name)
			changed.Identity = who
			v, err := f.Store.SaveFlow(suite.Ctx(), changed, f.Now)
			f.Verdict(v, err, storage.OK)
			f.NoConnection(c)
			f.ClaimConnectState(name, storage.Unknown)
			f.Equal(f.Due(10), []string{"abandoned " + name})
			f.Must(f.Store.EndRevocation(suite.Ctx(), "abandoned "+name))
		}
	},
}

// flowsIn stores flows of alice, each bound to a cookie of its name.
func (f *fixture) flowsIn(names ...string) {
	f.Helper()
	for _, name := range names {
		flow := f.Flow(name)
		flow.Browser = suite.Hash("%s", name)
		v, err := f.Store.SaveFlow(suite.Ctx(), flow, f.Now)
		f.Verdict(v, err, storage.OK)
	}
}

// flowIsThere tells whether a flow has a record.
func (f *fixture) flowIsThere(id string, want bool) {
	f.Helper()
	_, err := f.Store.Flow(suite.Ctx(), id, f.Now)
	if err != nil && err != storage.ErrNotFound {
		f.Fatal(err)
	}
	if got := err == nil; got != want {
		f.Fatalf("flow %q is there: %t, want %t", id, got, want)
	}
}
