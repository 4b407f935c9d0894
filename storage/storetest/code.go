package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var codeTests = map[string]func(*fixture){
	"redeems for tokens": func(f *fixture) {
		sub := f.approve("1", "a")
		f.after(time.Second)
		claim := f.claim("1", "a")
		res, err := f.store.ClaimCode(ctx(), claim)
		f.verdict(res.Verdict, err, storage.OK)

		want := *sub.Grant
		want.ExpiresAt = claim.Issue.GrantExpiresAt
		want.LastUsedAt = f.now
		want.AccessTokens = []storage.Hash{claim.Issue.Access.Hash}
		want.RefreshToken = &claim.Issue.Refresh.Hash
		f.equal(res.Grant, want)
		f.equal(res.Revocation, storage.Revocation{})
		stored, err := f.store.Grant(ctx(), "g-1", f.now)
		f.must(err)
		f.equal(stored, want)

		access, err := f.store.AccessToken(ctx(), claim.Issue.Access.Hash, f.now)
		f.must(err)
		f.equal(access, claim.Issue.Access)
		refresh, grant, err := f.store.RefreshToken(ctx(), claim.Issue.Refresh.Hash, f.now)
		f.must(err)
		f.equal(refresh, *claim.Issue.Refresh)
		f.equal(grant, want)
	},
	"without refresh token": func(f *fixture) {
		f.approve("1", "a")
		claim := f.claim("1", "a")
		claim.Issue.Refresh = nil
		res, err := f.store.ClaimCode(ctx(), claim)
		f.verdict(res.Verdict, err, storage.OK)
		if res.Grant.RefreshToken != nil {
			f.Fatal("a refresh token appeared")
		}
		_, _, err = f.store.RefreshToken(ctx(), hash("refresh 1 0"), f.now)
		f.is(err, storage.ErrNotFound)
	},
	"without redirect URI": func(f *fixture) {
		f.approve("1", "a")
		claim := f.claim("1", "a")
		claim.RedirectURI = ""
		res, err := f.store.ClaimCode(ctx(), claim)
		f.verdict(res.Verdict, err, storage.OK)
	},
	"the grant never passes its absolute end D10": func(f *fixture) {
		sub := f.approve("1", "a")
		claim := f.claim("1", "a")
		claim.Issue.GrantExpiresAt = sub.Grant.AbsoluteExpiresAt.Add(1)
		res, err := f.store.ClaimCode(ctx(), claim)
		f.verdict(res.Verdict, err, storage.OK)
		f.equal(res.Grant.ExpiresAt, sub.Grant.AbsoluteExpiresAt)
	},
	"unknown": func(f *fixture) {
		res, err := f.store.ClaimCode(ctx(), f.claim("1", "a"))
		f.verdict(res.Verdict, err, storage.Unknown)
	},
	"replay revokes the family B08": func(f *fixture) {
		g := f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		f.after(time.Hour - 1) // long after the code's own end
		res, err := f.store.ClaimCode(ctx(), f.claim("1", "a"))
		f.verdict(res.Verdict, err, storage.Replayed)
		f.equal(res.Revocation, storage.Revocation{
			AccessTokens: []storage.Hash{hash("access 1 0"), hash("access 1 1")}, GrantIDs: []string{g.ID},
		})
		f.accessLives("1", 0, false)
		f.accessLives("1", 1, false)
		f.revoked("1")
		f.rotate(f.rotation("1", "a", 2), storage.Revoked)

		res, err = f.store.ClaimCode(ctx(), f.claim("1", "a"))
		f.verdict(res.Verdict, err, storage.Replayed)
		f.equal(res.Revocation, storage.Revocation{})
	},
	"a claimed code is recognised after a sweep B08": func(f *fixture) {
		f.signIn("1", "a")
		f.after(20 * 24 * time.Hour)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		c, err := f.store.Code(ctx(), hash("code 1"), f.now)
		f.must(err)
		if !c.Claimed {
			f.Fatal("the code forgot that it was claimed")
		}
		res, err := f.store.ClaimCode(ctx(), f.claim("1", "a"))
		f.verdict(res.Verdict, err, storage.Replayed)
		f.revoked("1")
	},
	"wrong verifier burns B05": func(f *fixture) {
		f.approve("1", "a")
		wrong := f.claim("1", "a")
		wrong.Challenge = "another"
		res, err := f.store.ClaimCode(ctx(), wrong)
		f.verdict(res.Verdict, err, storage.ProofFailed)
		res, err = f.store.ClaimCode(ctx(), f.claim("1", "a"))
		f.verdict(res.Verdict, err, storage.ProofFailed)
		f.accessLives("1", 0, false)
		c, err := f.store.Code(ctx(), hash("code 1"), f.now)
		f.must(err)
		if !c.ProofFailed || c.Claimed {
			f.Fatalf("code %+v, want it burned", c)
		}
	},
	"no challenge proves nothing B06": func(f *fixture) {
		_, err := f.store.SaveFlow(ctx(), f.flow("1"), f.now)
		f.must(err)
		sub := f.submission("1", "a")
		sub.Code.Challenge = ""
		v, err := f.store.SubmitFlow(ctx(), sub)
		f.verdict(v, err, storage.OK)
		claim := f.claim("1", "a")
		claim.Challenge = ""
		res, err := f.store.ClaimCode(ctx(), claim)
		f.verdict(res.Verdict, err, storage.ProofFailed)
	},
	"wrong verifier after the claim changes nothing": func(f *fixture) {
		f.signIn("1", "a")
		wrong := f.claim("1", "a")
		wrong.Challenge = "another"
		res, err := f.store.ClaimCode(ctx(), wrong)
		f.verdict(res.Verdict, err, storage.ProofFailed)
		f.accessLives("1", 0, true)
		c, err := f.store.Code(ctx(), hash("code 1"), f.now)
		f.must(err)
		if c.ProofFailed {
			f.Fatal("a stranger burned a claimed code")
		}
	},
	"foreign client B10, redirect B11, issuer": func(f *fixture) {
		f.approve("1", "a")
		client, redirect, foreign := f.claim("1", "a"), f.claim("1", "a"), f.claim("1", "a")
		client.ClientID = "b"
		redirect.RedirectURI = "http://127.0.0.1/other"
		foreign.Issuer = otherIssuer
		for _, claim := range []storage.CodeClaim{client, redirect, foreign} {
			claim.Challenge = "another" // must not burn either
			res, err := f.store.ClaimCode(ctx(), claim)
			f.verdict(res.Verdict, err, storage.WrongClient)
		}
		res, err := f.store.ClaimCode(ctx(), f.claim("1", "a"))
		f.verdict(res.Verdict, err, storage.OK)
		res, err = f.store.ClaimCode(ctx(), client)
		f.verdict(res.Verdict, err, storage.WrongClient)
		f.accessLives("1", 0, true)
	},
	"expired B12": func(f *fixture) {
		f.approve("1", "a")
		f.after(5*time.Minute - 1)
		_, err := f.store.Code(ctx(), hash("code 1"), f.now)
		f.must(err)
		f.after(1)
		_, err = f.store.Code(ctx(), hash("code 1"), f.now)
		f.is(err, storage.ErrNotFound)
		res, err := f.store.ClaimCode(ctx(), f.claim("1", "a"))
		f.verdict(res.Verdict, err, storage.Expired)
		f.accessLives("1", 0, false)
	},
	"the grant ended": func(f *fixture) {
		_, err := f.store.SaveFlow(ctx(), f.flow("1"), f.now)
		f.must(err)
		sub := f.submission("1", "a")
		sub.Grant.ExpiresAt = f.now.Add(time.Second)
		v, err := f.store.SubmitFlow(ctx(), sub)
		f.verdict(v, err, storage.OK)
		f.after(time.Second)
		res, err := f.store.ClaimCode(ctx(), f.claim("1", "a"))
		f.verdict(res.Verdict, err, storage.Expired)
	},
	"the grant was revoked B17": func(f *fixture) {
		f.approve("1", "a")
		_, err := f.store.RevokeGrant(ctx(), "g-1", f.now)
		f.must(err)
		res, err := f.store.ClaimCode(ctx(), f.claim("1", "a"))
		f.verdict(res.Verdict, err, storage.Revoked)
		f.accessLives("1", 0, false)
	},
	"tokens of another grant are refused": func(f *fixture) {
		f.approve("1", "a")
		access, refresh := f.claim("1", "a"), f.claim("1", "a")
		access.Issue.Access.GrantID = "g-2"
		refresh.Issue.Refresh = &storage.RefreshToken{Hash: hash("x"), GrantID: "g-2"}
		for _, claim := range []storage.CodeClaim{access, refresh} {
			if res, err := f.store.ClaimCode(ctx(), claim); err == nil {
				f.Fatalf("verdict %v", res.Verdict)
			}
		}
		res, err := f.store.ClaimCode(ctx(), f.claim("1", "a"))
		f.verdict(res.Verdict, err, storage.OK)
	},
}
