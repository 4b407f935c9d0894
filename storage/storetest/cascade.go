package storetest

import (
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var cascadeTests = map[string]func(*fixture){
	"revoking a grant ends its tokens": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		f.signIn("2", "a")
		f.after(time.Second)
		rev, err := f.store.RevokeGrant(ctx(), "g-1", f.now)
		f.must(err)
		f.equal(rev, storage.Revocation{
			AccessTokens: []storage.Hash{hash("access 1 0"), hash("access 1 1")}, GrantIDs: []string{"g-1"},
		})
		f.accessLives("1", 0, false)
		f.accessLives("1", 1, false)
		f.accessLives("2", 0, true)
		g, err := f.store.Grant(ctx(), "g-1", f.now)
		f.must(err)
		f.equal(g.RevokedAt, f.now)
		if g.AccessTokens != nil {
			f.Fatalf("a revoked grant lists access tokens: %+v", g)
		}
	},
	"revoking again, or nothing": func(f *fixture) {
		f.signIn("1", "a")
		_, err := f.store.RevokeGrant(ctx(), "g-1", f.now)
		f.must(err)
		for _, id := range []string{"g-1", "g-unknown"} {
			rev, err := f.store.RevokeGrant(ctx(), id, f.now.Add(time.Minute))
			f.must(err)
			f.equal(rev, storage.Revocation{})
		}
		g, err := f.store.Grant(ctx(), "g-1", f.now)
		f.must(err)
		f.equal(g.RevokedAt, f.now)
	},
	"a grant ends at ExpiresAt": func(f *fixture) {
		sub := f.approve("1", "a")
		f.now = sub.Grant.ExpiresAt
		_, err := f.store.Grant(ctx(), "g-1", f.now)
		f.is(err, storage.ErrNotFound)
	},
	"a token that outlives its grant is still revoked with it": func(f *fixture) {
		f.approve("1", "a")
		claim := f.claim("1", "a")
		claim.Issue.GrantExpiresAt = f.now.Add(time.Minute)
		res, err := f.store.ClaimCode(ctx(), claim)
		f.verdict(res.Verdict, err, storage.OK)
		f.after(2 * time.Minute)
		_, err = f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.accessLives("1", 0, true)
		_, err = f.store.RevokeGrant(ctx(), "g-1", f.now)
		f.must(err)
		f.accessLives("1", 0, false)
	},
	"deleting a client revokes its grants, and only its": func(f *fixture) {
		f.twoClients()
		rev, err := f.store.DeleteClient(ctx(), "a", f.now)
		f.must(err)
		f.revokedBoth(rev)
		_, err = f.store.Client(ctx(), "a", f.now)
		f.is(err, storage.ErrNotFound)
		_, err = f.store.DeleteClient(ctx(), "a", f.now)
		f.is(err, storage.ErrNotFound)
	},
	"updating a client can revoke its grants": func(f *fixture) {
		c := f.twoClients()
		rev, err := f.store.UpdateClient(ctx(), c, c.RegistrationTokenHash, true, f.now)
		f.must(err)
		f.revokedBoth(rev)
		_, err = f.store.Client(ctx(), "a", f.now)
		f.must(err)
		f.signIn("5", "a")
		f.accessLives("5", 0, true)
	},
	"deleting a client spares its namesake at another issuer": func(f *fixture) {
		c := f.client("a")
		c.Issuer = otherIssuer
		f.must(f.store.CreateClient(ctx(), c, storage.Unused{}))
		f.signIn("1", "a") // at issuer, where a is not registered but configured
		rev, err := f.store.DeleteClient(ctx(), "a", f.now)
		f.must(err)
		f.equal(rev, storage.Revocation{})
		f.accessLives("1", 0, true)
	},
}

// twoClients signs in twice with a, once with b, and once with a client whose
// ID begins like a's.
func (f *fixture) twoClients() storage.Client {
	c := f.register("a")
	f.register("b")
	f.register("aa")
	f.signIn("1", "a")
	f.signIn("2", "a")
	f.signIn("3", "b")
	f.signIn("4", "aa")
	return c
}

// revokedBoth checks that a's grants ended and the others' stand.
func (f *fixture) revokedBoth(rev storage.Revocation) {
	f.Helper()
	slices.Sort(rev.GrantIDs)
	f.equal(rev.GrantIDs, []string{"g-1", "g-2"})
	if len(rev.AccessTokens) != 2 || !slices.Contains(rev.AccessTokens, hash("access 1 0")) || !slices.Contains(rev.AccessTokens, hash("access 2 0")) {
		f.Fatalf("access tokens %v", rev.AccessTokens)
	}
	f.accessLives("1", 0, false)
	f.accessLives("2", 0, false)
	f.accessLives("3", 0, true)
	f.accessLives("4", 0, true)
	f.revoked("1")
	f.rotate(f.rotation("2", "a", 1), storage.Revoked)
	f.rotate(f.rotation("3", "b", 1), storage.OK)
}
