package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var bob = storage.Identity{Kind: "user_id", Subject: "user_id:bob", Name: "bob"}

// aliceAnew is whoever was given alice's name and another key.
var aliceAnew = storage.Identity{Kind: alice.Kind, Subject: alice.Subject, Name: alice.Name, Proof: "another"}

var flowTests = map[string]func(*fixture){
	"reads back what was stored": func(f *fixture) {
		v, err := f.store.SaveFlow(ctx(), f.flow("1"), f.now)
		f.verdict(v, err, storage.OK)
		got, err := f.store.Flow(ctx(), "1", f.now)
		f.must(err)
		f.equal(got, f.flow("1"))
	},
	"the identity can change until submit": func(f *fixture) {
		f.approveNothing("1")
		other := f.flow("1")
		other.Identity = bob
		v, err := f.store.SaveFlow(ctx(), other, f.now)
		f.verdict(v, err, storage.Submitted)
		got, err := f.store.Flow(ctx(), "1", f.now)
		f.must(err)
		if !got.Submitted || got.Identity != alice {
			f.Fatalf("a submitted flow was changed: %+v", got)
		}
	},
	"ends at ExpiresAt": func(f *fixture) {
		_, err := f.store.SaveFlow(ctx(), f.flow("1"), f.now)
		f.must(err)
		f.after(15 * time.Minute)
		_, err = f.store.Flow(ctx(), "1", f.now)
		f.is(err, storage.ErrNotFound)
		v, err := f.store.SubmitFlow(ctx(), f.submission("1", "a"))
		f.verdict(v, err, storage.Unknown)
		f.nothingApproved("1")
	},
	"submit stores grant and code": func(f *fixture) {
		sub := f.approve("1", "a")
		g, err := f.store.Grant(ctx(), sub.Grant.ID, f.now)
		f.must(err)
		f.equal(g, *sub.Grant)
		c, err := f.store.Code(ctx(), sub.Code.Hash, f.now)
		f.must(err)
		f.equal(c, *sub.Code)
		got, err := f.store.Flow(ctx(), "1", f.now)
		f.must(err)
		if !got.Submitted {
			f.Fatal("the flow is not marked")
		}
	},
	"submit of an unknown flow": func(f *fixture) {
		v, err := f.store.SubmitFlow(ctx(), f.submission("1", "a"))
		f.verdict(v, err, storage.Unknown)
		f.nothingApproved("1")
	},
	"submit at another issuer": func(f *fixture) {
		_, err := f.store.SaveFlow(ctx(), f.flow("1"), f.now)
		f.must(err)
		sub := f.submission("1", "a")
		sub.Issuer = otherIssuer
		v, err := f.store.SubmitFlow(ctx(), sub)
		f.verdict(v, err, storage.Unknown)
		f.nothingApproved("1")
	},
	"submit of what somebody changed": func(f *fixture) {
		changed := f.flow("1")
		changed.Identity = bob
		_, err := f.store.SaveFlow(ctx(), changed, f.now)
		f.must(err)
		v, err := f.store.SubmitFlow(ctx(), f.submission("1", "a"))
		f.verdict(v, err, storage.Changed)
		f.nothingApproved("1")
		got, err := f.store.Flow(ctx(), "1", f.now)
		f.must(err)
		f.equal(got, changed)
	},
	"submit of whoever has the name now": func(f *fixture) {
		changed := f.flow("1")
		changed.Identity = aliceAnew
		_, err := f.store.SaveFlow(ctx(), changed, f.now)
		f.must(err)
		v, err := f.store.SubmitFlow(ctx(), f.submission("1", "a"))
		f.verdict(v, err, storage.Changed)
		f.nothingApproved("1")
		sub := f.submission("1", "a")
		sub.Identity, sub.Grant.Identity = aliceAnew, aliceAnew
		v, err = f.store.SubmitFlow(ctx(), sub)
		f.verdict(v, err, storage.OK)
	},
	"submit again": func(f *fixture) {
		f.approve("1", "a")
		again := f.submission("1", "a")
		again.Grant.ID, again.Code.GrantID = "g-2", "g-2"
		again.Code.Hash = hash("code 2")
		v, err := f.store.SubmitFlow(ctx(), again)
		f.verdict(v, err, storage.Submitted)
		f.nothingApproved("2")
	},
	"a refusal ends the flow": func(f *fixture) {
		f.approveNothing("1")
		v, err := f.store.SubmitFlow(ctx(), f.submission("1", "a"))
		f.verdict(v, err, storage.Submitted)
		f.nothingApproved("1")
	},
	"grant and code belong together": func(f *fixture) {
		_, err := f.store.SaveFlow(ctx(), f.flow("1"), f.now)
		f.must(err)
		noCode, noGrant, foreign, others := f.submission("1", "a"), f.submission("1", "a"), f.submission("1", "a"), f.submission("1", "a")
		others.Grant.Identity = aliceAnew
		noCode.Code = nil
		noGrant.Grant = nil
		foreign.Code.GrantID = "g-2"
		for _, sub := range []storage.Submission{noCode, noGrant, foreign, others} {
			if v, err := f.store.SubmitFlow(ctx(), sub); err == nil {
				f.Fatalf("verdict %v for half a submission", v)
			}
		}
		f.nothingApproved("1")
	},
	"an approved client is kept as long as the grant can live": func(f *fixture) {
		c := f.register("a")
		sub := f.approve("1", "a")
		got, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		c.Used = true
		c.ExpiresAt = sub.Grant.AbsoluteExpiresAt.Add(sub.KeepClient)
		f.equal(got, c)
	},
	"approval never shortens a registration": func(f *fixture) {
		c := f.client("a")
		c.ExpiresAt = f.now.Add(1000 * 24 * time.Hour)
		f.must(f.store.CreateClient(ctx(), c, storage.Unused{}))
		f.approve("1", "a")
		got, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		f.equal(got.ExpiresAt, c.ExpiresAt)
	},
	"a namesake at another issuer is left alone": func(f *fixture) {
		c := f.client("a")
		c.Issuer = otherIssuer
		f.must(f.store.CreateClient(ctx(), c, storage.Unused{}))
		f.approve("1", "a")
		got, err := f.store.Client(ctx(), "a", f.now)
		f.must(err)
		f.equal(got, c)
	},
}

// approveNothing takes a flow to a refusal.
func (f *fixture) approveNothing(id string) {
	f.Helper()
	_, err := f.store.SaveFlow(ctx(), f.flow(id), f.now)
	f.must(err)
	sub := f.submission(id, "a")
	sub.Grant, sub.Code = nil, nil
	v, err := f.store.SubmitFlow(ctx(), sub)
	f.verdict(v, err, storage.OK)
}

// nothingApproved checks that a flow has neither grant nor code.
func (f *fixture) nothingApproved(id string) {
	f.Helper()
	_, err := f.store.Grant(ctx(), "g-"+id, f.now)
	f.is(err, storage.ErrNotFound)
	_, err = f.store.Code(ctx(), hash("code %s", id), f.now)
	f.is(err, storage.ErrNotFound)
}
