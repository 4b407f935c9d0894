package sessiontest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// A flow whose person is known by a browser session lives no longer than that.
var knownTests = map[string]func(*fixture){
	"by a session": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("s", suite.Alice)))
		f.knows("1", suite.Alice, storage.OK)
		v, err := f.Store.SubmitFlow(suite.Ctx(), f.knownSubmission("1"))
		f.Verdict(v, err, storage.OK)
		f.SignedIn("s", true)
	},
	"not by that of somebody else, nor by another proof": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("s", suite.Alice)))
		f.knows("1", suite.Bob, storage.SignedOut)
		f.knows("1", suite.AliceAnew, storage.SignedOut)
	},
	"not by none": func(f *fixture) { f.knows("1", suite.Alice, storage.SignedOut) },
	"not by that of another issuer": func(f *fixture) {
		b := f.BrowserSession("s", suite.Alice)
		b.Issuer = suite.OtherIssuer
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), b))
		f.knows("1", suite.Alice, storage.SignedOut)
	},
	"a refusal leaves the flow as it was": func(f *fixture) {
		f.Identified("1")
		f.knows("1", suite.Bob, storage.SignedOut)
		f.StillPending("1")
	},
	"submit of what the page did not show": func(f *fixture) {
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("s", suite.Alice)))
		f.knows("1", suite.Alice, storage.OK)
		v, err := f.Store.SubmitFlow(suite.Ctx(), f.Submission("1", "a"))
		f.Verdict(v, err, storage.Changed)
		f.Identified("1") // they prove who they are
		v, err = f.Store.SubmitFlow(suite.Ctx(), f.knownSubmission("1"))
		f.Verdict(v, err, storage.Changed)
		f.NothingApproved("1")
	},
	"submit signs in nobody who was already": func(f *fixture) {
		sub := f.knownSubmission("1")
		b := f.BrowserSession("2", suite.Alice)
		sub.Browser = &b
		if v, err := f.Store.SubmitFlow(suite.Ctx(), sub); err == nil {
			f.Fatalf("verdict %v", v)
		}
	},
	"no submit after signing out": func(f *fixture) {
		f.knowsNoMore(func() {
			f.Must(f.Store.DeleteBrowserSession(suite.Ctx(), suite.Hash("cookie s"), nil, f.Now))
		})
	},
	"no submit after signing out everywhere": func(f *fixture) {
		f.knowsNoMore(func() { f.Must(f.Store.DeleteBrowserSessions(suite.Ctx(), suite.Issuer, suite.Alice.Subject)) })
	},
	"no submit after somebody else signed in": func(f *fixture) {
		f.knowsNoMore(func() {
			next := f.BrowserSession("next", suite.Bob)
			next.Replaces = suite.Hash("cookie s")
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), next))
		})
	},
	"no submit after the session": func(f *fixture) {
		f.knowsNoMore(func() { f.After(5 * time.Minute) })
	},
	// Whichever comes first, no flow is left of which the browser knows that it ended.
	"sign-out wins over flows that begin meanwhile": func(f *fixture) {
		for round := range suite.Rounds / 10 {
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("s", suite.Alice)))
			flow := func(n int) storage.Flow {
				flow := f.knownFlow(fmt.Sprint("of the browser ", round, " ", n), suite.Alice)
				flow.Browser = suite.Hash("cookie of the flows")
				return flow
			}
			f.Together(func(n int) {
				if n == suite.Racers/2 {
					f.Must(f.Store.DeleteBrowserSession(suite.Ctx(), suite.Hash("cookie s"), []storage.Hash{flow(n).Browser}, f.Now))
					return
				}
				v, err := f.Store.SaveFlow(suite.Ctx(), flow(n), f.Now)
				f.Raced(v, err, storage.OK, storage.SignedOut)
			})
			for n := range suite.Racers {
				_, err := f.Store.Flow(suite.Ctx(), flow(n).ID, f.Now)
				f.WantError(err, storage.ErrNotFound)
			}
		}
	},
	// Whatever comes first, nothing is approved of a flow that was saved before
	// the sign-out and submitted after it.
	"sign-out wins over what comes later": func(f *fixture) {
		for round := range suite.Rounds / 10 {
			name := fmt.Sprint(round)
			f.Must(f.Store.CreateBrowserSession(suite.Ctx(), f.BrowserSession("s", suite.Alice)))
			flow := func(n int) string { return fmt.Sprint(name, " ", n) }
			f.Together(func(n int) {
				if n == 0 {
					f.Must(f.Store.DeleteBrowserSession(suite.Ctx(), suite.Hash("cookie s"), nil, f.Now))
					return
				}
				v, err := f.Store.SaveFlow(suite.Ctx(), f.knownFlow(flow(n), suite.Alice), f.Now)
				f.Raced(v, err, storage.OK, storage.SignedOut)
			})
			for n := 1; n < suite.Racers; n++ {
				v, err := f.Store.SubmitFlow(suite.Ctx(), f.knownSubmission(flow(n)))
				f.Raced(v, err, storage.SignedOut, storage.Unknown)
			}
		}
	},
}

func (f *fixture) knownFlow(id string, who storage.Identity) storage.Flow {
	flow := f.Flow(id)
	flow.Identity, flow.Session = who, suite.Hash("cookie s")
	return flow
}

func (f *fixture) knownSubmission(id string) storage.Submission {
	sub := f.Submission(id, "a")
	sub.Session, sub.Now = suite.Hash("cookie s"), f.Now
	return sub
}

// knows saves a flow of somebody who is known by the session s.
func (f *fixture) knows(id string, who storage.Identity, want storage.Verdict) {
	f.Helper()
	_, before := f.Store.Flow(suite.Ctx(), id, f.Now)
	v, err := f.Store.SaveFlow(suite.Ctx(), f.knownFlow(id, who), f.Now)
	f.Verdict(v, err, want)
	got, err := f.Store.Flow(suite.Ctx(), id, f.Now)
	if want == storage.OK {
		f.Must(err)
		f.Equal(got, f.knownFlow(id, who))
	} else if before != nil {
		f.WantError(err, storage.ErrNotFound)
	}
}

// knowsNoMore checks that a flow ends with the session, and works again by
// another.
func (f *fixture) knowsNoMore(end func()) {
	f.Helper()
	b := f.BrowserSession("s", suite.Alice)
	b.ExpiresAt = f.Now.Add(5 * time.Minute)
	f.Must(f.Store.CreateBrowserSession(suite.Ctx(), b))
	f.knows("1", suite.Alice, storage.OK)
	end()
	v, err := f.Store.SubmitFlow(suite.Ctx(), f.knownSubmission("1"))
	f.Verdict(v, err, storage.SignedOut)
	f.NothingApproved("1")
	v, err = f.Store.SaveFlow(suite.Ctx(), f.Flow("1"), f.Now)
	f.Verdict(v, err, storage.OK)
	sub := f.Submission("1", "a")
	sub.Now = f.Now
	v, err = f.Store.SubmitFlow(suite.Ctx(), sub)
	f.Verdict(v, err, storage.OK)
}
