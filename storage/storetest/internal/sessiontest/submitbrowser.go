package sessiontest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// What a submission does to the browser it came from happens with the grant
// or not at all.
var submitBrowserTests = map[string]func(*fixture){
	"signs in with the grant": func(f *fixture) {
		sub := f.SigningIn("1")
		v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
		f.Verdict(v, err, storage.OK)
		got, err := f.Store.BrowserSession(suite.Ctx(), sub.Browser.Hash, f.Now)
		f.Must(err)
		f.Equal(got, sub.Browser.BrowserSession)
		f.SignedIn("before", false)
		_, err = f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
	},
	"signs out with all others": func(f *fixture) {
		v, err := f.Store.SubmitFlow(suite.Ctx(), f.SigningIn("1"))
		f.Verdict(v, err, storage.OK)
		f.Must(f.Store.DeleteBrowserSessions(suite.Ctx(), suite.Issuer, suite.Alice.Subject))
		f.SignedIn("1", false)
	},
	"not for whom somebody changed I10": func(f *fixture) {
		sub := f.SigningIn("1")
		changed := f.Flow("1")
		changed.Identity = suite.Bob
		_, err := f.Store.SaveFlow(suite.Ctx(), changed, f.Now)
		f.Must(err)
		f.refusesBrowser(sub, storage.Changed)
	},
	"not with connections that changed": func(f *fixture) {
		sub := f.SigningIn("1")
		f.Connects("1", "notion")
		f.refusesBrowser(sub, storage.Changed)
	},
	"not again": func(f *fixture) {
		sub := f.SigningIn("1")
		f.ApproveNothing("1")
		f.refusesBrowser(sub, storage.Submitted)
	},
	"not after the flow": func(f *fixture) {
		sub := f.SigningIn("1")
		f.After(15 * time.Minute)
		sub.Now = f.Now
		f.refusesBrowser(sub, storage.Unknown)
	},
	"nobody but who approves": func(f *fixture) {
		refused, bobs, anew, elsewhere := f.SigningIn("1"), f.SigningIn("1"), f.SigningIn("1"), f.SigningIn("1")
		anew.Browser.Identity = suite.AliceAnew
		refused.Grant, refused.Code = nil, nil
		bobs.Browser.Identity = suite.Bob
		elsewhere.Browser.Issuer = suite.OtherIssuer
		for _, sub := range []storage.Submission{refused, bobs, anew, elsewhere} {
			if v, err := f.Store.SubmitFlow(suite.Ctx(), sub); err == nil {
				f.Fatalf("verdict %v for %+v", v, sub.Browser)
			}
			f.StillPending("1")
			f.SignedIn("1", false)
			f.SignedIn("before", true)
		}
	},
	"one racer is signed in": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			f.SigningIn(id)
			racer := func(n int) string { return fmt.Sprint(id, " ", n) }
			won := f.Race(func(n int) storage.Verdict {
				sub := f.Submission(id, "a")
				sub.Grant.ID, sub.Code.GrantID, sub.Code.Hash = "g-"+racer(n), "g-"+racer(n), suite.Hash("code %s", racer(n))
				b := f.BrowserSession(racer(n), suite.Alice)
				b.Replaces = suite.Hash("cookie before")
				sub.Browser = &b
				v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
				return f.Raced(v, err, storage.OK, storage.Submitted)
			})
			for n := range suite.Racers {
				f.SignedIn(racer(n), n == won)
			}
			f.SignedIn("before", false)
		}
	},
}

// refusesBrowser checks that nothing of the submission happened.
func (f *fixture) refusesBrowser(sub storage.Submission, want storage.Verdict) {
	f.Helper()
	v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
	f.Verdict(v, err, want)
	f.NothingApproved(sub.FlowID)
	f.SignedIn(sub.FlowID, false)
	f.SignedIn("before", true)
}
