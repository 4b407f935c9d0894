package authtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var grantsTests = map[string]func(*fixture){
	"of everybody at all issuers": func(f *fixture) {
		f.SignIn("1", "a")
		f.Approve("2", "b") // its code is not redeemed yet
		elsewhere := f.Flow("3")
		elsewhere.Issuer, elsewhere.Identity = suite.OtherIssuer, suite.Bob
		v, err := f.Store.SaveFlow(suite.Ctx(), elsewhere, f.Now)
		f.Verdict(v, err, storage.OK)
		sub := f.Submission("3", "c")
		sub.Issuer, sub.Identity = suite.OtherIssuer, suite.Bob
		sub.Grant.Issuer, sub.Grant.Identity, sub.Code.Issuer = suite.OtherIssuer, suite.Bob, suite.OtherIssuer
		v, err = f.Store.SubmitFlow(suite.Ctx(), sub)
		f.Verdict(v, err, storage.OK)
		f.Equal(f.pages(10), [][]string{{"g-1", "g-2", "g-3"}})
		grants, _, err := f.Store.Grants(suite.Ctx(), "g-2", 1, f.Now)
		f.Must(err)
		one, err := f.Store.Grant(suite.Ctx(), "g-3", f.Now)
		f.Must(err)
		f.Equal(grants, []storage.Grant{one})
	},
	"nothing": func(f *fixture) { f.Equal(f.pages(1), [][]string{nil}) },
	"page by page": func(f *fixture) {
		for _, id := range []string{"1", "2", "3", "4"} {
			f.SignIn(id, "a")
		}
		f.Equal(f.pages(1), [][]string{{"g-1"}, {"g-2"}, {"g-3"}, {"g-4"}})
		f.Equal(f.pages(2), [][]string{{"g-1", "g-2"}, {"g-3", "g-4"}})
		f.Equal(f.pages(3), [][]string{{"g-1", "g-2", "g-3"}, {"g-4"}})
	},
	"valid ones": func(f *fixture) {
		f.SignIn("1", "a")
		f.SignIn("2", "a")
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(f.pages(1), [][]string{{"g-2"}})
		f.After(100 * 24 * time.Hour)
		f.Equal(f.pages(1), [][]string{nil})
	},
	"goes on behind a grant that ended meanwhile": func(f *fixture) {
		for i := range 4 {
			f.Approve(fmt.Sprint(i), "a")
		}
		_, next, err := f.Store.Grants(suite.Ctx(), "", 2, f.Now)
		f.Must(err)
		f.Equal(next, "g-1")
		_, err = f.Store.RevokeGrant(suite.Ctx(), next, f.Now)
		f.Must(err)
		grants, next, err := f.Store.Grants(suite.Ctx(), next, 2, f.Now)
		f.Must(err)
		f.Equal(suite.IDs(grants), []string{"g-2", "g-3"})
		f.Equal(next, "")
	},
}

// pages reads all grants, limit at a time.
func (f *fixture) pages(limit int) (all [][]string) {
	f.Helper()
	for next := ""; ; {
		grants, behind, err := f.Store.Grants(suite.Ctx(), next, limit, f.Now)
		f.Must(err)
		all = append(all, suite.IDs(grants))
		if behind == "" {
			return all
		}
		if !slices.IsSorted([]string{next, behind}) || next == behind {
			f.Fatalf("from %q to %q", next, behind)
		}
		next = behind
	}
}

var cascadeTests = map[string]func(*fixture){
	"revoking a grant ends its tokens": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.SignIn("2", "a")
		f.After(time.Second)
		rev, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(rev, storage.Revocation{
			AccessTokens: []storage.Hash{suite.Hash("access 1 0"), suite.Hash("access 1 1")}, GrantIDs: []string{"g-1"},
		})
		f.AccessLives("1", 0, false)
		f.AccessLives("1", 1, false)
		f.AccessLives("2", 0, true)
		g, err := f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(g.RevokedAt, f.Now)
		if g.AccessTokens != nil {
			f.Fatalf("a revoked grant lists access tokens: %+v", g)
		}
	},
	"revoking again, or nothing": func(f *fixture) {
		f.SignIn("1", "a")
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		for _, id := range []string{"g-1", "g-unknown"} {
			rev, err := f.Store.RevokeGrant(suite.Ctx(), id, f.Now.Add(time.Minute))
			f.Must(err)
			f.Equal(rev, storage.Revocation{})
		}
		g, err := f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(g.RevokedAt, f.Now)
	},
	"a grant ends at ExpiresAt": func(f *fixture) {
		sub := f.Approve("1", "a")
		f.Now = sub.Grant.ExpiresAt
		_, err := f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.WantError(err, storage.ErrNotFound)
	},
	"a token that outlives its grant is still revoked with it": func(f *fixture) {
		f.Approve("1", "a")
		claim := f.Claim("1", "a")
		claim.Issue.GrantExpiresAt = f.Now.Add(time.Minute)
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.OK)
		f.After(2 * time.Minute)
		_, err = f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.AccessLives("1", 0, true)
		_, err = f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.AccessLives("1", 0, false)
	},
	"deleting a client revokes its grants, and only its": func(f *fixture) {
		f.twoClients()
		rev, err := f.Store.DeleteClient(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.revokedBoth(rev)
		_, err = f.Store.Client(suite.Ctx(), "a", f.Now)
		f.WantError(err, storage.ErrNotFound)
		_, err = f.Store.DeleteClient(suite.Ctx(), "a", f.Now)
		f.WantError(err, storage.ErrNotFound)
	},
	"updating a client can revoke its grants": func(f *fixture) {
		c := f.twoClients()
		rev, err := f.Store.UpdateClient(suite.Ctx(), c, c.RegistrationTokenHash, true, f.Now)
		f.Must(err)
		f.revokedBoth(rev)
		_, err = f.Store.Client(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.SignIn("5", "a")
		f.AccessLives("5", 0, true)
	},
	"deleting a client spares its namesake at another issuer": func(f *fixture) {
		c := f.Client("a")
		c.Issuer = suite.OtherIssuer
		f.Must(f.Store.CreateClient(suite.Ctx(), c, storage.Unused{}))
		f.SignIn("1", "a") // at issuer, where a is not registered but configured
		rev, err := f.Store.DeleteClient(suite.Ctx(), "a", f.Now)
		f.Must(err)
		f.Equal(rev, storage.Revocation{})
		f.AccessLives("1", 0, true)
	},
}

// twoClients signs in twice with a, once with b, and once with a client whose
// ID begins like a's.
func (f *fixture) twoClients() storage.Client {
	c := f.Register("a")
	f.Register("b")
	f.Register("aa")
	f.SignIn("1", "a")
	f.SignIn("2", "a")
	f.SignIn("3", "b")
	f.SignIn("4", "aa")
	return c
}

// revokedBoth checks that a's grants ended and the others are valid.
func (f *fixture) revokedBoth(rev storage.Revocation) {
	f.Helper()
	slices.Sort(rev.GrantIDs)
	f.Equal(rev.GrantIDs, []string{"g-1", "g-2"})
	if len(rev.AccessTokens) != 2 || !slices.Contains(rev.AccessTokens, suite.Hash("access 1 0")) || !slices.Contains(rev.AccessTokens, suite.Hash("access 2 0")) {
		f.Fatalf("access tokens %v", rev.AccessTokens)
	}
	f.AccessLives("1", 0, false)
	f.AccessLives("2", 0, false)
	f.AccessLives("3", 0, true)
	f.AccessLives("4", 0, true)
	f.Revoked("1")
	f.Rotate(f.Rotation("2", "a", 1), storage.Revoked)
	f.Rotate(f.Rotation("3", "b", 1), storage.OK)
}
