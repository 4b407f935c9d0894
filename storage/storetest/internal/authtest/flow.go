package authtest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var flowTests = map[string]func(*fixture){
	"reads back what was stored": func(f *fixture) {
		v, err := f.Store.SaveFlow(suite.Ctx(), f.Flow("1"), f.Now)
		f.Verdict(v, err, storage.OK)
		got, err := f.Store.Flow(suite.Ctx(), "1", f.Now)
		f.Must(err)
		f.Equal(got, f.Flow("1"))
	},
	"the identity can change until submit": func(f *fixture) {
		f.ApproveNothing("1")
		other := f.Flow("1")
		other.Identity = suite.Bob
		v, err := f.Store.SaveFlow(suite.Ctx(), other, f.Now)
		f.Verdict(v, err, storage.Submitted)
		got, err := f.Store.Flow(suite.Ctx(), "1", f.Now)
		f.Must(err)
		if !got.Submitted || got.Identity != suite.Alice {
			f.Fatalf("a submitted flow was changed: %+v", got)
		}
	},
	"ends at ExpiresAt": func(f *fixture) {
		_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow("1"), f.Now)
		f.Must(err)
		f.After(15 * time.Minute)
		_, err = f.Store.Flow(suite.Ctx(), "1", f.Now)
		f.WantError(err, storage.ErrNotFound)
		v, err := f.Store.SubmitFlow(suite.Ctx(), f.Submission("1", "a"))
		f.Verdict(v, err, storage.Unknown)
		f.NothingApproved("1")
	},
	"submit stores grant and code": func(f *fixture) {
		sub := f.Approve("1", "a")
		g, err := f.Store.Grant(suite.Ctx(), sub.Grant.ID, f.Now)
		f.Must(err)
		f.Equal(g, *sub.Grant)
		c, err := f.Store.Code(suite.Ctx(), sub.Code.Hash, f.Now)
		f.Must(err)
		f.Equal(c, *sub.Code)
		got, err := f.Store.Flow(suite.Ctx(), "1", f.Now)
		f.Must(err)
		if !got.Submitted {
			f.Fatal("the flow is not marked")
		}
	},
	"begins with its submission": func(f *fixture) {
		begins := func(id string, by storage.Hash) storage.Submission {
			sub, flow := f.Submission(id, "a"), f.Flow(id)
			sub.Session, flow.Session, sub.Begins = by, by, &flow
			return sub
		}
		session := f.BrowserSession("b", suite.Alice)
		f.Must(f.Store.CreateBrowserSession(suite.Ctx(), session))
		v, err := f.Store.SubmitFlow(suite.Ctx(), begins("1", session.Hash))
		f.Verdict(v, err, storage.OK)
		got, err := f.Store.Flow(suite.Ctx(), "1", f.Now)
		f.Must(err)
		want := f.Flow("1")
		want.Session, want.Submitted = session.Hash, true
		f.Equal(got, want)
		_, err = f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		v, err = f.Store.SubmitFlow(suite.Ctx(), begins("1", session.Hash))
		f.Verdict(v, err, storage.Submitted)

		v, err = f.Store.SubmitFlow(suite.Ctx(), begins("2", suite.Hash("no session")))
		f.Verdict(v, err, storage.SignedOut)
		f.NothingApproved("2")
		_, err = f.Store.Flow(suite.Ctx(), "2", f.Now)
		f.WantError(err, storage.ErrNotFound)

		other := f.Flow("3") // what somebody else connected in it does not come along
		other.Identity = suite.Bob
		v, err = f.Store.SaveFlow(suite.Ctx(), other, f.Now)
		f.Verdict(v, err, storage.OK)
		made := (&suite.Connections{Fixture: f.Fixture}).FlowConnection("3", "mail")
		_, v, err = f.Store.PutConnection(suite.Ctx(), made, f.Now)
		f.Verdict(v, err, storage.OK)
		v, err = f.Store.SubmitFlow(suite.Ctx(), begins("3", session.Hash))
		f.Verdict(v, err, storage.OK)
		_, err = f.Store.Connection(suite.Ctx(), made.ConnectionKey, f.Now)
		f.WantError(err, storage.ErrNotFound)
		_, err = f.Store.Connection(suite.Ctx(), suite.ConnectionKey(suite.Alice.Subject, "mail"), f.Now)
		f.WantError(err, storage.ErrNotFound)
	},
	"submit of an unknown flow": func(f *fixture) {
		v, err := f.Store.SubmitFlow(suite.Ctx(), f.Submission("1", "a"))
		f.Verdict(v, err, storage.Unknown)
		f.NothingApproved("1")
	},
	"submit at another issuer": func(f *fixture) {
		_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow("1"), f.Now)
		f.Must(err)
		sub := f.Submission("1", "a")
		sub.Issuer = suite.OtherIssuer
		v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
		f.Verdict(v, err, storage.Unknown)
		f.NothingApproved("1")
	},
	"submit of what somebody changed": func(f *fixture) {
		changed := f.Flow("1")
		changed.Identity = suite.Bob
		_, err := f.Store.SaveFlow(suite.Ctx(), changed, f.Now)
		f.Must(err)
		v, err := f.Store.SubmitFlow(suite.Ctx(), f.Submission("1", "a"))
		f.Verdict(v, err, storage.Changed)
		f.NothingApproved("1")
		got, err := f.Store.Flow(suite.Ctx(), "1", f.Now)
		f.Must(err)
		f.Equal(got, changed)
	},
	"submit of whoever has the name now": func(f *fixture) {
		changed := f.Flow("1")
		changed.Identity = suite.AliceAnew
		_, err := f.Store.SaveFlow(suite.Ctx(), changed, f.Now)
		f.Must(err)
		v, err := f.Store.SubmitFlow(suite.Ctx(), f.Submission("1", "a"))
		f.Verdict(v, err, storage.Changed)
		f.NothingApproved("1")
		sub := f.Submission("1", "a")
		sub.Identity, sub.Grant.Identity = suite.AliceAnew, suite.AliceAnew
		v, err = f.Store.SubmitFlow(suite.Ctx(), sub)
		f.Verdict(v, err, storage.OK)
	},
	"submit again": func(f *fixture) {
		f.Approve("1", "a")
		again := f.Submission("1", "a")
		again.Grant.ID, again.Code.GrantID = "g-2", "g-2"
		again.Code.Hash = suite.Hash("code 2")
		v, err := f.Store.SubmitFlow(suite.Ctx(), again)
		f.Verdict(v, err, storage.Submitted)
		f.NothingApproved("2")
	},
	"a refusal ends the flow": func(f *fixture) {
		f.ApproveNothing("1")
		v, err := f.Store.SubmitFlow(suite.Ctx(), f.Submission("1", "a"))
		f.Verdict(v, err, storage.Submitted)
		f.NothingApproved("1")
	},
	"grant and code belong together": func(f *fixture) {
		_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow("1"), f.Now)
		f.Must(err)
		noCode, noGrant, foreign, others := f.Submission("1", "a"), f.Submission("1", "a"), f.Submission("1", "a"), f.Submission("1", "a")
		others.Grant.Identity = suite.AliceAnew
		noCode.Code = nil
		noGrant.Grant = nil
		foreign.Code.GrantID = "g-2"
		for _, sub := range []storage.Submission{noCode, noGrant, foreign, others} {
			if v, err := f.Store.SubmitFlow(suite.Ctx(), sub); err == nil {
				f.Fatalf("verdict %v for half a submission", v)
			}
		}
		f.NothingApproved("1")
	},
	"an approved client is kept as long as the grant can live": func(f *fixture) {
		c := f.Register("a")
		sub := f.Approve("1", "a")
		got, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		c.Used = true
		c.ExpiresAt = sub.Grant.AbsoluteExpiresAt.Add(sub.KeepClient)
		f.Equal(got, c)
	},
	"approval never shortens a registration": func(f *fixture) {
		c := f.Client("a")
		c.ExpiresAt = f.Now.Add(1000 * 24 * time.Hour)
		f.Must(f.Store.CreateClient(suite.Ctx(), c, storage.Unused{}))
		f.Approve("1", "a")
		got, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.Equal(got.ExpiresAt, c.ExpiresAt)
	},
	"a namesake at another issuer is left alone": func(f *fixture) {
		c := f.Client("a")
		c.Issuer = suite.OtherIssuer
		f.Must(f.Store.CreateClient(suite.Ctx(), c, storage.Unused{}))
		f.Approve("1", "a")
		got, err := f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.Equal(got, c)
	},
}
