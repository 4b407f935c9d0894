package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var refreshTests = map[string]func(*fixture){
	"rotates": func(f *fixture) {
		f.signIn("1", "a")
		f.after(time.Minute)
		r := f.rotation("1", "a", 1)
		res := f.rotate(r, storage.OK)
		f.equal(res.Grant.AccessTokens, []storage.Hash{hash("access 1 0"), hash("access 1 1")})
		f.equal(*res.Grant.RefreshToken, hash("refresh 1 1"))
		f.equal(res.Grant.ExpiresAt, r.Issue.GrantExpiresAt)
		f.equal(res.Grant.LastUsedAt, f.now)
		f.equal(res.Revocation, storage.Revocation{})
		f.accessLives("1", 0, true)
		f.accessLives("1", 1, true)

		old, grant, err := f.store.RefreshToken(ctx(), r.Hash, f.now)
		f.must(err)
		f.equal(grant, res.Grant)
		f.equal(old.RotatedAt, f.now)
		f.equal(*old.Successor, hash("refresh 1 1"))
		head, _, err := f.store.RefreshToken(ctx(), hash("refresh 1 1"), f.now)
		f.must(err)
		f.equal(head, *r.Issue.Refresh)
	},
	"unknown": func(f *fixture) {
		f.rotate(f.rotation("1", "a", 1), storage.Unknown)
		_, _, err := f.store.RefreshToken(ctx(), hash("refresh 1 0"), f.now)
		f.is(err, storage.ErrNotFound)
	},
	"a lost response is repeated D13": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		f.after(grace)
		again := f.rotation("1", "a", 1)
		again.Issue = f.issue("1", "a", 9)
		again.Replay = []byte("another response")
		res := f.rotate(again, storage.Repeated)
		f.equal(string(res.Replay), "response 1 1")
		f.equal(res.Grant.ID, "g-1")
		f.accessLives("1", 9, false)
		f.rotate(f.rotation("1", "a", 2), storage.OK)
	},
	"a sweep within the window keeps the response": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		f.after(grace)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.rotate(f.rotation("1", "a", 1), storage.Repeated)
	},
	"replay after the window revokes the family D01": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		f.after(grace + 1)
		res := f.rotate(f.rotation("1", "a", 1), storage.Replayed)
		f.equal(res.Revocation, storage.Revocation{
			AccessTokens: []storage.Hash{hash("access 1 0"), hash("access 1 1")}, GrantIDs: []string{"g-1"},
		})
		f.equal(res.Replay, []byte(nil))
		f.accessLives("1", 0, false)
		f.accessLives("1", 1, false)
		f.revoked("1")
		f.rotate(f.rotation("1", "a", 2), storage.Revoked)
	},
	"replay after the window is recognised after a sweep D01": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		f.after(20 * 24 * time.Hour)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.rotate(f.rotation("1", "a", 1), storage.Replayed)
		f.revoked("1")
	},
	"two generations back is no lost response D03": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		f.rotate(f.rotation("1", "a", 2), storage.OK)
		f.after(time.Second)
		f.rotate(f.rotation("1", "a", 1), storage.Replayed)
		f.revoked("1")
		f.rotate(f.rotation("1", "a", 3), storage.Revoked)
	},
	"strict mode D05": func(f *fixture) {
		f.signIn("1", "a")
		strict := f.rotation("1", "a", 1)
		strict.Grace = 0
		f.rotate(strict, storage.OK)
		f.rotate(strict, storage.Replayed)
		f.revoked("1")
	},
	"a winner that asked for no window gets none D05": func(f *fixture) {
		f.signIn("1", "a")
		strict := f.rotation("1", "a", 1)
		strict.Grace = 0
		f.rotate(strict, storage.OK)
		f.rotate(f.rotation("1", "a", 1), storage.Replayed)
	},
	"strict mode shuts a window that is open D05": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		strict := f.rotation("1", "a", 1)
		strict.Grace = 0
		f.rotate(strict, storage.Replayed)
	},
	"foreign client and issuer D08, D04": func(f *fixture) {
		f.signIn("1", "a")
		foreign, elsewhere := f.rotation("1", "a", 1), f.rotation("1", "a", 1)
		foreign.ClientID = "b"
		elsewhere.Issuer = otherIssuer
		f.rotate(foreign, storage.WrongClient)
		f.rotate(elsewhere, storage.WrongClient)
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		f.equal(f.rotate(foreign, storage.WrongClient).Replay, []byte(nil))
		f.after(grace + 1)
		f.rotate(foreign, storage.WrongClient)
		f.rotate(f.rotation("1", "a", 2), storage.OK)
	},
	"idle expiry D11": func(f *fixture) {
		f.signIn("1", "a")
		f.after(30*24*time.Hour - 1)
		_, _, err := f.store.RefreshToken(ctx(), hash("refresh 1 0"), f.now)
		f.must(err)
		f.after(1)
		_, _, err = f.store.RefreshToken(ctx(), hash("refresh 1 0"), f.now)
		f.is(err, storage.ErrNotFound)
		f.rotate(f.rotation("1", "a", 1), storage.Expired)
		f.accessLives("1", 1, false)
	},
	"the token can end before its grant": func(f *fixture) {
		f.approve("1", "a")
		claim := f.claim("1", "a")
		claim.Issue.Refresh.ExpiresAt = f.now.Add(time.Minute)
		res, err := f.store.ClaimCode(ctx(), claim)
		f.verdict(res.Verdict, err, storage.OK)
		f.after(time.Minute)
		f.rotate(f.rotation("1", "a", 1), storage.Expired)
	},
	"rotation cannot pass the absolute end D10": func(f *fixture) {
		f.signIn("1", "a")
		day, n := 24*time.Hour, 0
		for range 89 {
			f.after(day)
			n++
			f.rotate(f.rotation("1", "a", n), storage.OK)
		}
		f.after(day)
		f.rotate(f.rotation("1", "a", n+1), storage.Expired)
	},
	"revoked D15": func(f *fixture) {
		f.signIn("1", "a")
		_, err := f.store.RevokeGrant(ctx(), "g-1", f.now)
		f.must(err)
		f.rotate(f.rotation("1", "a", 1), storage.Revoked)
		f.accessLives("1", 1, false)
		_, g, err := f.store.RefreshToken(ctx(), hash("refresh 1 0"), f.now)
		f.must(err)
		if g.RevokedAt.IsZero() {
			f.Fatal("the grant that comes with the token stands")
		}
	},
	"tokens of another grant are refused": func(f *fixture) {
		f.signIn("1", "a")
		r := f.rotation("1", "a", 1)
		r.Issue.Access.GrantID = "g-2"
		if res, err := f.store.RotateRefreshToken(ctx(), r); err == nil {
			f.Fatalf("verdict %v", res.Verdict)
		}
		f.rotate(f.rotation("1", "a", 1), storage.OK)
	},
	"access tokens that ended are forgotten": func(f *fixture) {
		f.signIn("1", "a")
		f.after(time.Hour)
		res := f.rotate(f.rotation("1", "a", 1), storage.OK)
		f.equal(res.Grant.AccessTokens, []storage.Hash{hash("access 1 1")})
		f.equal(res.Revocation, storage.Revocation{})
	},
	"too many access tokens: the oldest gives way": func(f *fixture) {
		f.signIn("1", "a")
		for n := 1; n < storage.MaxAccessTokens; n++ {
			f.equal(f.rotate(f.rotation("1", "a", n), storage.OK).Revocation, storage.Revocation{})
		}
		res := f.rotate(f.rotation("1", "a", storage.MaxAccessTokens), storage.OK)
		f.equal(res.Revocation, storage.Revocation{AccessTokens: []storage.Hash{hash("access 1 0")}})
		f.accessLives("1", 0, false)
		f.accessLives("1", 1, true)
		f.accessLives("1", storage.MaxAccessTokens, true)
	},
}
