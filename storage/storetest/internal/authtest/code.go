package authtest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var codeTests = map[string]func(*fixture){
	"redeems for tokens": func(f *fixture) {
		sub := f.Approve("1", "a")
		f.After(time.Second)
		claim := f.Claim("1", "a")
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.OK)

		want := *sub.Grant
		want.ExpiresAt = claim.Issue.GrantExpiresAt
		want.LastUsedAt = f.Now
		want.AccessTokens = []storage.Hash{claim.Issue.Access.Hash}
		want.RefreshToken = &claim.Issue.Refresh.Hash
		f.Equal(res.Grant, want)
		f.Equal(res.Revocation, storage.Revocation{})
		stored, err := f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(stored, want)

		access, err := f.Store.AccessToken(suite.Ctx(), claim.Issue.Access.Hash, f.Now)
		f.Must(err)
		f.Equal(access, claim.Issue.Access)
		refresh, grant, err := f.Store.RefreshToken(suite.Ctx(), claim.Issue.Refresh.Hash, f.Now)
		f.Must(err)
		f.Equal(refresh, *claim.Issue.Refresh)
		f.Equal(grant, want)
	},
	"without refresh token": func(f *fixture) {
		f.Approve("1", "a")
		claim := f.Claim("1", "a")
		claim.Issue.Refresh = nil
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.OK)
		if res.Grant.RefreshToken != nil {
			f.Fatal("a refresh token appeared")
		}
		_, _, err = f.Store.RefreshToken(suite.Ctx(), suite.Hash("refresh 1 0"), f.Now)
		f.WantError(err, storage.ErrNotFound)
	},
	"without redirect URI": func(f *fixture) {
		f.Approve("1", "a")
		claim := f.Claim("1", "a")
		claim.RedirectURI = ""
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.OK)
	},
	"the grant never passes its absolute end D10": func(f *fixture) {
		sub := f.Approve("1", "a")
		claim := f.Claim("1", "a")
		claim.Issue.GrantExpiresAt = sub.Grant.AbsoluteExpiresAt.Add(1)
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.OK)
		f.Equal(res.Grant.ExpiresAt, sub.Grant.AbsoluteExpiresAt)
	},
	"uses a value up, whatever comes of it C08": func(f *fixture) {
		f.Approve("1", "a")
		once := func(value string) *storage.OneTime {
			return &storage.OneTime{Hash: storage.HashOf(value), ExpiresAt: f.Now.Add(time.Minute)}
		}
		unknown, wrong, right := f.Claim("2", "a"), f.Claim("1", "b"), f.Claim("1", "a")
		unknown.UsesUp, wrong.UsesUp, right.UsesUp = once("first"), once("second"), once("third")
		res, err := f.Store.ClaimCode(suite.Ctx(), unknown)
		f.Verdict(res.Verdict, err, storage.Unknown)
		res, err = f.Store.ClaimCode(suite.Ctx(), wrong)
		f.Verdict(res.Verdict, err, storage.WrongClient)
		for _, value := range []string{"first", "second"} {
			f.Used(value, true)
			again := right
			again.UsesUp = once(value)
			res, err = f.Store.ClaimCode(suite.Ctx(), again)
			f.Verdict(res.Verdict, err, storage.AlreadyUsed)
		}
		res, err = f.Store.ClaimCode(suite.Ctx(), right)
		f.Verdict(res.Verdict, err, storage.OK)
		f.Used("third", true)
		res, err = f.Store.ClaimCode(suite.Ctx(), right)
		f.Verdict(res.Verdict, err, storage.AlreadyUsed) // and so no replay, which would end the grant
		f.AccessLives("1", 0, true)
		f.After(time.Minute)
		f.Used("third", false)
	},
	"unknown": func(f *fixture) {
		res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.Unknown)
	},
	"replay revokes the family B08": func(f *fixture) {
		g := f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.After(time.Hour - 1) // long after the code's own end
		res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.Replayed)
		f.Equal(res.Revocation, storage.Revocation{
			AccessTokens: []storage.Hash{suite.Hash("access 1 0"), suite.Hash("access 1 1")}, GrantIDs: []string{g.ID},
		})
		f.AccessLives("1", 0, false)
		f.AccessLives("1", 1, false)
		f.Revoked("1")
		f.Rotate(f.Rotation("1", "a", 2), storage.Revoked)

		res, err = f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.Replayed)
		f.Equal(res.Revocation, storage.Revocation{})
	},
	"a claimed code is recognised after a sweep B08": func(f *fixture) {
		f.SignIn("1", "a")
		f.After(20 * 24 * time.Hour)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		c, err := f.Store.Code(suite.Ctx(), suite.Hash("code 1"), f.Now)
		f.Must(err)
		if !c.Claimed {
			f.Fatal("the code forgot that it was claimed")
		}
		res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.Replayed)
		f.Revoked("1")
	},
	"wrong verifier burns B05": func(f *fixture) {
		f.Approve("1", "a")
		wrong := f.Claim("1", "a")
		wrong.Challenge = "another"
		res, err := f.Store.ClaimCode(suite.Ctx(), wrong)
		f.Verdict(res.Verdict, err, storage.ProofFailed)
		res, err = f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.ProofFailed)
		f.AccessLives("1", 0, false)
		c, err := f.Store.Code(suite.Ctx(), suite.Hash("code 1"), f.Now)
		f.Must(err)
		if !c.ProofFailed || c.Claimed {
			f.Fatalf("code %+v, want it burned", c)
		}
	},
	"no challenge proves nothing B06": func(f *fixture) {
		_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow("1"), f.Now)
		f.Must(err)
		sub := f.Submission("1", "a")
		sub.Code.Challenge = ""
		v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
		f.Verdict(v, err, storage.OK)
		claim := f.Claim("1", "a")
		claim.Challenge = ""
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.ProofFailed)
	},
	"wrong verifier after the claim changes nothing": func(f *fixture) {
		f.SignIn("1", "a")
		wrong := f.Claim("1", "a")
		wrong.Challenge = "another"
		res, err := f.Store.ClaimCode(suite.Ctx(), wrong)
		f.Verdict(res.Verdict, err, storage.ProofFailed)
		f.AccessLives("1", 0, true)
		c, err := f.Store.Code(suite.Ctx(), suite.Hash("code 1"), f.Now)
		f.Must(err)
		if c.ProofFailed {
			f.Fatal("a stranger burned a claimed code")
		}
	},
	"foreign client B10, redirect B11, issuer": func(f *fixture) {
		f.Approve("1", "a")
		client, redirect, foreign := f.Claim("1", "a"), f.Claim("1", "a"), f.Claim("1", "a")
		client.ClientID = "b"
		redirect.RedirectURI = "http://127.0.0.1/other"
		foreign.Issuer = suite.OtherIssuer
		for _, claim := range []storage.CodeClaim{client, redirect, foreign} {
			claim.Challenge = "another" // must not burn either
			res, err := f.Store.ClaimCode(suite.Ctx(), claim)
			f.Verdict(res.Verdict, err, storage.WrongClient)
		}
		res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.OK)
		res, err = f.Store.ClaimCode(suite.Ctx(), client)
		f.Verdict(res.Verdict, err, storage.WrongClient)
		f.AccessLives("1", 0, true)
	},
	"expired B12": func(f *fixture) {
		f.Approve("1", "a")
		f.After(5*time.Minute - 1)
		_, err := f.Store.Code(suite.Ctx(), suite.Hash("code 1"), f.Now)
		f.Must(err)
		f.After(1)
		_, err = f.Store.Code(suite.Ctx(), suite.Hash("code 1"), f.Now)
		f.WantError(err, storage.ErrNotFound)
		res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.Expired)
		f.AccessLives("1", 0, false)
	},
	"the grant ended": func(f *fixture) {
		_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow("1"), f.Now)
		f.Must(err)
		sub := f.Submission("1", "a")
		sub.Grant.ExpiresAt = f.Now.Add(time.Second)
		v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
		f.Verdict(v, err, storage.OK)
		f.After(time.Second)
		res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.Expired)
	},
	"the grant was revoked B17": func(f *fixture) {
		f.Approve("1", "a")
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.Revoked)
		f.AccessLives("1", 0, false)
	},
	"tokens of another grant are refused": func(f *fixture) {
		f.Approve("1", "a")
		access, refresh := f.Claim("1", "a"), f.Claim("1", "a")
		access.Issue.Access.GrantID = "g-2"
		refresh.Issue.Refresh = &storage.RefreshToken{Hash: suite.Hash("x"), GrantID: "g-2"}
		for _, claim := range []storage.CodeClaim{access, refresh} {
			if res, err := f.Store.ClaimCode(suite.Ctx(), claim); err == nil {
				f.Fatalf("verdict %v", res.Verdict)
			}
		}
		res, err := f.Store.ClaimCode(suite.Ctx(), f.Claim("1", "a"))
		f.Verdict(res.Verdict, err, storage.OK)
	},
}
