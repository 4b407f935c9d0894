package authtest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var accessTests = map[string]func(*fixture){
	"every field comes back": func(f *fixture) {
		f.Approve("1", "a")
		claim := f.Claim("1", "a")
		claim.Issue.Access.Identity = storage.Identity{Kind: "virtual_key", Subject: "virtual_key:Ünïcode", Name: "a\x00b", Proof: "p"}
		claim.Issue.Access.Scope = []string{"mcp:use", "", "x"}
		claim.Issue.Access.Audience = []string{suite.Resource, "https://mcp.example.com/mcp/notion"}
		claim.Issue.Access.IssuedAt = f.Now.Add(1)
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.OK)
		got, err := f.Store.AccessToken(suite.Ctx(), claim.Issue.Access.Hash, f.Now)
		f.Must(err)
		f.Equal(got, claim.Issue.Access)
	},
	"no scope, no audience": func(f *fixture) {
		f.Approve("1", "a")
		claim := f.Claim("1", "a")
		claim.Issue.Access.Scope, claim.Issue.Access.Audience = nil, nil
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.OK)
		got, err := f.Store.AccessToken(suite.Ctx(), claim.Issue.Access.Hash, f.Now)
		f.Must(err)
		f.Equal(got, claim.Issue.Access)
	},
	"unknown": func(f *fixture) { f.AccessLives("1", 0, false) },
	"ends at ExpiresAt E02": func(f *fixture) {
		f.SignIn("1", "a")
		f.After(time.Hour - 1)
		f.AccessLives("1", 0, true)
		f.After(1)
		f.AccessLives("1", 0, false)
	},
	"a code or refresh token is no access token B18": func(f *fixture) {
		f.SignIn("1", "a")
		for _, h := range []storage.Hash{suite.Hash("code 1"), suite.Hash("refresh 1 0")} {
			_, err := f.Store.AccessToken(suite.Ctx(), h, f.Now)
			f.WantError(err, storage.ErrNotFound)
		}
	},
	"revoking one leaves the rest L06": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		did, err := f.Store.RevokeAccessToken(suite.Ctx(), suite.Hash("access 1 0"), suite.Issuer, "a", f.Now)
		f.Must(err)
		f.Equal(did, true)
		f.AccessLives("1", 0, false)
		f.AccessLives("1", 1, true)
		did, err = f.Store.RevokeAccessToken(suite.Ctx(), suite.Hash("access 1 0"), suite.Issuer, "a", f.Now)
		f.Must(err)
		f.Equal(did, false)
		res := f.Rotate(f.Rotation("1", "a", 2), storage.OK)
		f.Equal(res.Grant.AccessTokens, []storage.Hash{suite.Hash("access 1 1"), suite.Hash("access 1 2")})
	},
	"revoking needs the owner L05": func(f *fixture) {
		f.SignIn("1", "a")
		did, err := f.Store.RevokeAccessToken(suite.Ctx(), suite.Hash("access 1 0"), suite.Issuer, "b", f.Now)
		f.Must(err)
		f.Equal(did, false)
		did, err = f.Store.RevokeAccessToken(suite.Ctx(), suite.Hash("access 1 0"), suite.OtherIssuer, "a", f.Now)
		f.Must(err)
		f.Equal(did, false)
		f.AccessLives("1", 0, true)
	},
	"revoking what has ended does nothing": func(f *fixture) {
		f.SignIn("1", "a")
		token, err := f.Store.AccessToken(suite.Ctx(), suite.Hash("access 1 0"), f.Now)
		f.Must(err)
		did, err := f.Store.RevokeAccessToken(suite.Ctx(), token.Hash, suite.Issuer, "a", token.ExpiresAt)
		f.Must(err)
		f.Equal(did, false)
		f.AccessLives("1", 0, true) // for who asks by an earlier clock
	},
}

var onceTests = map[string]func(*fixture){
	"the first use is told from the second C08": func(f *fixture) {
		end := f.Now.Add(time.Minute)
		for i, want := range []bool{true, false, false} {
			first, err := f.Store.UseOnce(suite.Ctx(), suite.Hash("jti"), end, f.Now)
			f.Must(err)
			if first != want {
				f.Fatalf("use %d: first %t", i, first)
			}
		}
		first, err := f.Store.UseOnce(suite.Ctx(), suite.Hash("another jti"), end, f.Now)
		f.Must(err)
		f.Equal(first, true)
	},
	"looking at a value does not use it": func(f *fixture) {
		f.Used("jti", false)
		f.Used("jti", false)
		first, err := f.Store.UseOnce(suite.Ctx(), suite.Hash("jti"), f.Now.Add(time.Minute), f.Now)
		f.Must(err)
		f.Equal(first, true)
		f.Used("jti", true)
		f.Used("another jti", false)
		f.After(time.Minute - 1)
		f.Used("jti", true)
		f.After(1)
		f.Used("jti", false)
	},
	"forgotten when it ended": func(f *fixture) {
		end := f.Now.Add(time.Minute + 1)
		_, err := f.Store.UseOnce(suite.Ctx(), suite.Hash("jti"), end, f.Now)
		f.Must(err)
		f.After(time.Minute)
		_, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		first, err := f.Store.UseOnce(suite.Ctx(), suite.Hash("jti"), end, f.Now)
		f.Must(err)
		f.Equal(first, false)
		f.After(1)
		first, err = f.Store.UseOnce(suite.Ctx(), suite.Hash("jti"), end.Add(time.Minute), f.Now)
		f.Must(err)
		f.Equal(first, true)
	},
}
