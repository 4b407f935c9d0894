package storetest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// What a submission does to the browser it came from happens with the grant
// or not at all.
var submitBrowserTests = map[string]func(*fixture){
	"signs in with the grant": func(f *fixture) {
		sub := f.signingIn("1")
		v, err := f.store.SubmitFlow(ctx(), sub)
		f.verdict(v, err, storage.OK)
		got, err := f.store.BrowserSession(ctx(), sub.Browser.Hash, f.now)
		f.must(err)
		want := *sub.Browser
		want.Replaces = storage.Hash{}
		f.equal(got, want)
		f.signedIn("before", false)
		_, err = f.store.Grant(ctx(), "g-1", f.now)
		f.must(err)
	},
	"signs out with all others": func(f *fixture) {
		v, err := f.store.SubmitFlow(ctx(), f.signingIn("1"))
		f.verdict(v, err, storage.OK)
		f.must(f.store.DeleteBrowserSessions(ctx(), issuer, alice.Subject))
		f.signedIn("1", false)
	},
	"not for whom somebody changed I10": func(f *fixture) {
		sub := f.signingIn("1")
		changed := f.flow("1")
		changed.Identity = bob
		_, err := f.store.SaveFlow(ctx(), changed, f.now)
		f.must(err)
		f.refusesBrowser(sub, storage.Changed)
	},
	"not with connections that changed": func(f *fixture) {
		sub := f.signingIn("1")
		f.connects("1", "notion")
		f.refusesBrowser(sub, storage.Changed)
	},
	"not again": func(f *fixture) {
		sub := f.signingIn("1")
		f.approveNothing("1")
		f.refusesBrowser(sub, storage.Submitted)
	},
	"not after the flow": func(f *fixture) {
		sub := f.signingIn("1")
		f.after(15 * time.Minute)
		sub.Now = f.now
		f.refusesBrowser(sub, storage.Unknown)
	},
	"nobody but who approves": func(f *fixture) {
		refused, bobs, anew, elsewhere := f.signingIn("1"), f.signingIn("1"), f.signingIn("1"), f.signingIn("1")
		anew.Browser.Identity = aliceAnew
		refused.Grant, refused.Code = nil, nil
		bobs.Browser.Identity = bob
		elsewhere.Browser.Issuer = otherIssuer
		for _, sub := range []storage.Submission{refused, bobs, anew, elsewhere} {
			if v, err := f.store.SubmitFlow(ctx(), sub); err == nil {
				f.Fatalf("verdict %v for %+v", v, sub.Browser)
			}
			f.stillPending("1")
			f.signedIn("1", false)
			f.signedIn("before", true)
		}
	},
	"one racer is signed in": func(f *fixture) {
		for round := range rounds {
			id := fmt.Sprint(round)
			f.signingIn(id)
			racer := func(n int) string { return fmt.Sprint(id, " ", n) }
			won := f.race(func(n int) storage.Verdict {
				sub := f.submission(id, "a")
				sub.Grant.ID, sub.Code.GrantID, sub.Code.Hash = "g-"+racer(n), "g-"+racer(n), hash("code %s", racer(n))
				b := f.browserSession(racer(n), alice)
				b.Replaces = hash("cookie before")
				sub.Browser = &b
				v, err := f.store.SubmitFlow(ctx(), sub)
				return f.raced(v, err, storage.OK, storage.Submitted)
			})
			for n := range racers {
				f.signedIn(racer(n), n == won)
			}
			f.signedIn("before", false)
		}
	},
}

// signingIn is the submission of a flow in a browser that has the session
// "before" and gets the flow's name as its cookie.
func (f *fixture) signingIn(id string) storage.Submission {
	f.Helper()
	v, err := f.store.SaveFlow(ctx(), f.flow(id), f.now)
	f.verdict(v, err, storage.OK)
	f.must(f.store.CreateBrowserSession(ctx(), f.browserSession("before", bob)))
	sub := f.submission(id, "a")
	b := f.browserSession(id, alice)
	b.Replaces = hash("cookie before")
	sub.Browser = &b
	return sub
}

// refusesBrowser checks that nothing of the submission happened.
func (f *fixture) refusesBrowser(sub storage.Submission, want storage.Verdict) {
	f.Helper()
	v, err := f.store.SubmitFlow(ctx(), sub)
	f.verdict(v, err, want)
	f.nothingApproved(sub.FlowID)
	f.signedIn(sub.FlowID, false)
	f.signedIn("before", true)
}
