package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var accessTests = map[string]func(*fixture){
	"every field comes back": func(f *fixture) {
		f.approve("1", "a")
		claim := f.claim("1", "a")
		claim.Issue.Access.Identity = storage.Identity{Kind: "virtual_key", Subject: "virtual_key:Ünïcode", Name: "a\x00b", Proof: "p"}
		claim.Issue.Access.Scope = []string{"mcp:use", "", "x"}
		claim.Issue.Access.Audience = []string{resource, "https://mcp.example.com/mcp/notion"}
		claim.Issue.Access.IssuedAt = f.now.Add(1)
		res, err := f.store.ClaimCode(ctx(), claim)
		f.verdict(res.Verdict, err, storage.OK)
		got, err := f.store.AccessToken(ctx(), claim.Issue.Access.Hash, f.now)
		f.must(err)
		f.equal(got, claim.Issue.Access)
	},
	"no scope, no audience": func(f *fixture) {
		f.approve("1", "a")
		claim := f.claim("1", "a")
		claim.Issue.Access.Scope, claim.Issue.Access.Audience = nil, nil
		res, err := f.store.ClaimCode(ctx(), claim)
		f.verdict(res.Verdict, err, storage.OK)
		got, err := f.store.AccessToken(ctx(), claim.Issue.Access.Hash, f.now)
		f.must(err)
		f.equal(got, claim.Issue.Access)
	},
	"unknown": func(f *fixture) { f.accessLives("1", 0, false) },
	"ends at ExpiresAt E02": func(f *fixture) {
		f.signIn("1", "a")
		f.after(time.Hour - 1)
		f.accessLives("1", 0, true)
		f.after(1)
		f.accessLives("1", 0, false)
	},
	"a code or refresh token is no access token B18": func(f *fixture) {
		f.signIn("1", "a")
		for _, h := range []storage.Hash{hash("code 1"), hash("refresh 1 0")} {
			_, err := f.store.AccessToken(ctx(), h, f.now)
			f.is(err, storage.ErrNotFound)
		}
	},
	"revoking one leaves the rest L06": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		did, err := f.store.RevokeAccessToken(ctx(), hash("access 1 0"), issuer, "a")
		f.must(err)
		f.equal(did, true)
		f.accessLives("1", 0, false)
		f.accessLives("1", 1, true)
		did, err = f.store.RevokeAccessToken(ctx(), hash("access 1 0"), issuer, "a")
		f.must(err)
		f.equal(did, false)
		res := f.rotate(f.rotation("1", "a", 2), storage.OK)
		f.equal(res.Grant.AccessTokens, []storage.Hash{hash("access 1 1"), hash("access 1 2")})
	},
	"revoking needs the owner L05": func(f *fixture) {
		f.signIn("1", "a")
		did, err := f.store.RevokeAccessToken(ctx(), hash("access 1 0"), issuer, "b")
		f.must(err)
		f.equal(did, false)
		did, err = f.store.RevokeAccessToken(ctx(), hash("access 1 0"), otherIssuer, "a")
		f.must(err)
		f.equal(did, false)
		f.accessLives("1", 0, true)
	},
}

var onceTests = map[string]func(*fixture){
	"the first use is told from the second C08": func(f *fixture) {
		end := f.now.Add(time.Minute)
		for i, want := range []bool{true, false, false} {
			first, err := f.store.UseOnce(ctx(), hash("jti"), end, f.now)
			f.must(err)
			if first != want {
				f.Fatalf("use %d: first %t", i, first)
			}
		}
		first, err := f.store.UseOnce(ctx(), hash("another jti"), end, f.now)
		f.must(err)
		f.equal(first, true)
	},
	"looking at a value does not use it": func(f *fixture) {
		f.used("jti", false)
		f.used("jti", false)
		first, err := f.store.UseOnce(ctx(), hash("jti"), f.now.Add(time.Minute), f.now)
		f.must(err)
		f.equal(first, true)
		f.used("jti", true)
		f.used("another jti", false)
		f.after(time.Minute - 1)
		f.used("jti", true)
		f.after(1)
		f.used("jti", false)
	},
	"forgotten when it ended": func(f *fixture) {
		end := f.now.Add(time.Minute + 1)
		_, err := f.store.UseOnce(ctx(), hash("jti"), end, f.now)
		f.must(err)
		f.after(time.Minute)
		_, err = f.store.Sweep(ctx(), f.now)
		f.must(err)
		first, err := f.store.UseOnce(ctx(), hash("jti"), end, f.now)
		f.must(err)
		f.equal(first, false)
		f.after(1)
		first, err = f.store.UseOnce(ctx(), hash("jti"), end.Add(time.Minute), f.now)
		f.must(err)
		f.equal(first, true)
	},
}

// used tells whether a one-time value was used.
func (f *fixture) used(value string, want bool) {
	f.Helper()
	got, err := f.store.Used(ctx(), storage.HashOf(value), f.now)
	f.must(err)
	f.equal(got, want)
}

var closeTests = map[string]func(*fixture){
	"everything after Close is ErrClosed": func(f *fixture) {
		f.signIn("1", "a")
		f.must(f.store.Close())
		for name, call := range f.everyCall() {
			if err := call(); err != storage.ErrClosed {
				f.Errorf("%s: %v", name, err)
			}
		}
	},
	"Close twice": func(f *fixture) {
		f.must(f.store.Close())
		f.must(f.store.Close())
	},
	"an ended context changes nothing": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		for name, call := range f.endedCalls() {
			if err := call(); err == nil {
				f.Errorf("%s: no error", name)
			}
		}
		f.accessLives("1", 0, true)
		f.rotate(f.rotation("1", "a", 2), storage.OK)
	},
}
