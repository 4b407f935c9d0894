package authtest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var refreshTests = map[string]func(*fixture){
	"rotates": func(f *fixture) {
		f.SignIn("1", "a")
		f.After(time.Minute)
		r := f.Rotation("1", "a", 1)
		res := f.Rotate(r, storage.OK)
		f.Equal(res.Grant.AccessTokens, []storage.Hash{suite.Hash("access 1 0"), suite.Hash("access 1 1")})
		f.Equal(*res.Grant.RefreshToken, suite.Hash("refresh 1 1"))
		f.Equal(res.Grant.ExpiresAt, r.Issue.GrantExpiresAt)
		f.Equal(res.Grant.LastUsedAt, f.Now)
		f.Equal(res.Revocation, storage.Revocation{})
		f.AccessLives("1", 0, true)
		f.AccessLives("1", 1, true)

		old, grant, err := f.Store.RefreshToken(suite.Ctx(), r.Hash, f.Now)
		f.Must(err)
		f.Equal(grant, res.Grant)
		f.Equal(old.RotatedAt, f.Now)
		f.Equal(*old.Successor, suite.Hash("refresh 1 1"))
		head, _, err := f.Store.RefreshToken(suite.Ctx(), suite.Hash("refresh 1 1"), f.Now)
		f.Must(err)
		f.Equal(head, *r.Issue.Refresh)
	},
	"unknown": func(f *fixture) {
		f.Rotate(f.Rotation("1", "a", 1), storage.Unknown)
		_, _, err := f.Store.RefreshToken(suite.Ctx(), suite.Hash("refresh 1 0"), f.Now)
		f.WantError(err, storage.ErrNotFound)
	},
	"uses a value up, whatever comes of it C08": func(f *fixture) {
		f.SignIn("1", "a")
		r := f.Rotation("1", "a", 1)
		once := func(value string) *storage.OneTime {
			return &storage.OneTime{Hash: storage.HashOf(value), ExpiresAt: f.Now.Add(time.Minute)}
		}
		wrong := r
		wrong.ClientID, wrong.UsesUp = "b", once("first")
		f.Rotate(wrong, storage.WrongClient)
		f.Used("first", true)
		r.UsesUp = once("first")
		f.Rotate(r, storage.AlreadyUsed)
		r.UsesUp = once("second")
		f.Rotate(r, storage.OK)
		f.Used("second", true)
		r.Grace = 0
		f.Rotate(r, storage.AlreadyUsed) // and so no replay, which would end the grant
		f.AccessLives("1", 1, true)
	},
	"a lost response is repeated D13": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.After(suite.Grace)
		again := f.Rotation("1", "a", 1)
		again.Issue = f.Issue("1", "a", 9)
		again.Replay = []byte("another response")
		res := f.Rotate(again, storage.Repeated)
		f.Equal(string(res.Replay), "response 1 1")
		f.Equal(res.Grant.ID, "g-1")
		f.AccessLives("1", 9, false)
		f.Rotate(f.Rotation("1", "a", 2), storage.OK)
	},
	"a sweep within the window keeps the response": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.After(suite.Grace)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Rotate(f.Rotation("1", "a", 1), storage.Repeated)
	},
	"replay after the window revokes the family D01": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.After(suite.Grace + 1)
		res := f.Rotate(f.Rotation("1", "a", 1), storage.Replayed)
		f.Equal(res.Revocation, storage.Revocation{
			AccessTokens: []storage.Hash{suite.Hash("access 1 0"), suite.Hash("access 1 1")}, GrantIDs: []string{"g-1"},
		})
		f.Equal(res.Replay, []byte(nil))
		f.AccessLives("1", 0, false)
		f.AccessLives("1", 1, false)
		f.Revoked("1")
		f.Rotate(f.Rotation("1", "a", 2), storage.Revoked)
	},
	"replay after the window is recognised after a sweep D01": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.After(20 * 24 * time.Hour)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Rotate(f.Rotation("1", "a", 1), storage.Replayed)
		f.Revoked("1")
	},
	"two generations back is no lost response D03": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.Rotate(f.Rotation("1", "a", 2), storage.OK)
		f.After(time.Second)
		f.Rotate(f.Rotation("1", "a", 1), storage.Replayed)
		f.Revoked("1")
		f.Rotate(f.Rotation("1", "a", 3), storage.Revoked)
	},
	"strict mode D05": func(f *fixture) {
		f.SignIn("1", "a")
		strict := f.Rotation("1", "a", 1)
		strict.Grace = 0
		f.Rotate(strict, storage.OK)
		f.Rotate(strict, storage.Replayed)
		f.Revoked("1")
	},
	"a winner that asked for no window gets none D05": func(f *fixture) {
		f.SignIn("1", "a")
		strict := f.Rotation("1", "a", 1)
		strict.Grace = 0
		f.Rotate(strict, storage.OK)
		f.Rotate(f.Rotation("1", "a", 1), storage.Replayed)
	},
	"strict mode shuts a window that is open D05": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		strict := f.Rotation("1", "a", 1)
		strict.Grace = 0
		f.Rotate(strict, storage.Replayed)
	},
	"foreign client and issuer D08, D04": func(f *fixture) {
		f.SignIn("1", "a")
		foreign, elsewhere := f.Rotation("1", "a", 1), f.Rotation("1", "a", 1)
		foreign.ClientID = "b"
		elsewhere.Issuer = suite.OtherIssuer
		f.Rotate(foreign, storage.WrongClient)
		f.Rotate(elsewhere, storage.WrongClient)
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.Equal(f.Rotate(foreign, storage.WrongClient).Replay, []byte(nil))
		f.After(suite.Grace + 1)
		f.Rotate(foreign, storage.WrongClient)
		f.Rotate(f.Rotation("1", "a", 2), storage.OK)
	},
	"idle expiry D11": func(f *fixture) {
		f.SignIn("1", "a")
		f.After(30*24*time.Hour - 1)
		_, _, err := f.Store.RefreshToken(suite.Ctx(), suite.Hash("refresh 1 0"), f.Now)
		f.Must(err)
		f.After(1)
		_, _, err = f.Store.RefreshToken(suite.Ctx(), suite.Hash("refresh 1 0"), f.Now)
		f.WantError(err, storage.ErrNotFound)
		f.Rotate(f.Rotation("1", "a", 1), storage.Expired)
		f.AccessLives("1", 1, false)
	},
	"the token can end before its grant": func(f *fixture) {
		f.Approve("1", "a")
		claim := f.Claim("1", "a")
		claim.Issue.Refresh.ExpiresAt = f.Now.Add(time.Minute)
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.OK)
		f.After(time.Minute)
		f.Rotate(f.Rotation("1", "a", 1), storage.Expired)
	},
	"rotation cannot pass the absolute end D10": func(f *fixture) {
		f.SignIn("1", "a")
		day, n := 24*time.Hour, 0
		for range 89 {
			f.After(day)
			n++
			f.Rotate(f.Rotation("1", "a", n), storage.OK)
		}
		f.After(day)
		f.Rotate(f.Rotation("1", "a", n+1), storage.Expired)
	},
	"revoked D15": func(f *fixture) {
		f.SignIn("1", "a")
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Rotate(f.Rotation("1", "a", 1), storage.Revoked)
		f.AccessLives("1", 1, false)
		_, g, err := f.Store.RefreshToken(suite.Ctx(), suite.Hash("refresh 1 0"), f.Now)
		f.Must(err)
		if g.RevokedAt.IsZero() {
			f.Fatal("the grant that comes with the token is valid")
		}
	},
	"tokens of another grant are refused": func(f *fixture) {
		f.SignIn("1", "a")
		r := f.Rotation("1", "a", 1)
		r.Issue.Access.GrantID = "g-2"
		if res, err := f.Store.RotateRefreshToken(suite.Ctx(), r); err == nil {
			f.Fatalf("verdict %v", res.Verdict)
		}
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
	},
	"access tokens that ended are forgotten": func(f *fixture) {
		f.SignIn("1", "a")
		f.After(time.Hour)
		res := f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.Equal(res.Grant.AccessTokens, []storage.Hash{suite.Hash("access 1 1")})
		f.Equal(res.Revocation, storage.Revocation{})
	},
	"too many access tokens: the oldest gives way": func(f *fixture) {
		f.SignIn("1", "a")
		for n := 1; n < storage.MaxAccessTokens; n++ {
			f.Equal(f.Rotate(f.Rotation("1", "a", n), storage.OK).Revocation, storage.Revocation{})
		}
		res := f.Rotate(f.Rotation("1", "a", storage.MaxAccessTokens), storage.OK)
		f.Equal(res.Revocation, storage.Revocation{AccessTokens: []storage.Hash{suite.Hash("access 1 0")}})
		f.AccessLives("1", 0, false)
		f.AccessLives("1", 1, true)
		f.AccessLives("1", storage.MaxAccessTokens, true)
	},
}
