package storetest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A refresh token that proves its grant is recognised without a record of it.
var refreshProofTests = map[string]func(*fixture){
	"the head and its predecessor have records, no more": func(f *fixture) {
		f.signIn("1", "a")
		const last = 40
		for n := 1; n <= last; n++ {
			f.after(time.Second)
			f.rotate(f.proved("1", "a", n), storage.OK)
		}
		for n := range last + 1 {
			_, _, err := f.store.RefreshToken(ctx(), hash("refresh 1 %d", n), f.now)
			if n < last-1 {
				f.is(err, storage.ErrNotFound)
				continue
			}
			f.must(err)
		}
	},
	"any earlier one revokes the family D01": func(f *fixture) {
		for reused := range 5 {
			id := fmt.Sprint("of ", reused)
			f.signIn(id, "a")
			for n := 1; n <= 5; n++ {
				f.rotate(f.proved(id, "a", n), storage.OK)
			}
			f.after(10 * 24 * time.Hour)
			_, err := f.store.Sweep(ctx(), f.now)
			f.must(err)
			res := f.rotate(f.proved(id, "a", reused+1), storage.Replayed)
			f.equal(res.Revocation.GrantIDs, []string{"g-" + id})
			f.revoked(id)
			f.accessLives(id, 5, false)
			f.rotate(f.proved(id, "a", 6), storage.Revoked)
			f.rotate(f.proved(id, "a", reused+1), storage.Revoked)
		}
	},
	"the predecessor is repeated within the window D13": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.proved("1", "a", 1), storage.OK)
		f.rotate(f.proved("1", "a", 2), storage.OK)
		f.after(grace)
		f.equal(string(f.rotate(f.proved("1", "a", 2), storage.Repeated).Replay), "response 1 2")
		f.rotate(f.proved("1", "a", 3), storage.OK)
	},
	"one without record and proof is unknown": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.proved("1", "a", 1), storage.OK)
		f.rotate(f.proved("1", "a", 2), storage.OK)
		f.rotate(f.rotation("1", "a", 1), storage.Unknown)
		f.rotate(f.proved("1", "a", 3), storage.OK)
	},
	"one of another client or issuer changes nothing D08": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.proved("1", "a", 1), storage.OK)
		f.rotate(f.proved("1", "a", 2), storage.OK)
		foreign, elsewhere := f.proved("1", "a", 1), f.proved("1", "a", 1)
		foreign.ClientID = "b"
		elsewhere.Issuer = otherIssuer
		f.rotate(foreign, storage.WrongClient)
		f.rotate(elsewhere, storage.WrongClient)
		f.rotate(f.proved("1", "a", 3), storage.OK)
	},
	"one of a grant that ended": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.proved("1", "a", 1), storage.OK)
		f.rotate(f.proved("1", "a", 2), storage.OK)
		f.after(30 * 24 * time.Hour)
		f.rotate(f.proved("1", "a", 1), storage.Expired)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.rotate(f.proved("1", "a", 1), storage.Expired)
	},
	// As in a database of an earlier version, whose tokens prove nothing.
	"one that proves nothing keeps its record D01": func(f *fixture) {
		f.signIn("1", "a")
		f.rotate(f.rotation("1", "a", 1), storage.OK)
		for n := 2; n <= 5; n++ {
			f.rotate(f.proved("1", "a", n), storage.OK)
		}
		f.after(10 * 24 * time.Hour)
		f.rotate(f.rotation("1", "a", 1), storage.Replayed)
		f.revoked("1")
	},
	"a token cannot prove another grant": func(f *fixture) {
		f.signIn("1", "a")
		f.signIn("2", "a")
		r := f.proved("1", "a", 1)
		r.GrantID = "g-2"
		if res, err := f.store.RotateRefreshToken(ctx(), r); err == nil {
			f.Fatalf("verdict %v", res.Verdict)
		}
		f.rotate(f.proved("1", "a", 1), storage.OK)
	},
	"a new head must come with the rotation": func(f *fixture) {
		f.signIn("1", "a")
		r := f.proved("1", "a", 1)
		r.Issue.Refresh = nil
		if res, err := f.store.RotateRefreshToken(ctx(), r); err == nil {
			f.Fatalf("verdict %v", res.Verdict)
		}
		f.rotate(f.proved("1", "a", 1), storage.OK)
	},
	"racers with an earlier one revoke the family once": func(f *fixture) {
		for round := range rounds {
			id := fmt.Sprint(round)
			f.signIn(id, "a")
			f.rotate(f.proved(id, "a", 1), storage.OK)
			f.rotate(f.proved(id, "a", 2), storage.OK)
			f.race(func(n int) storage.Verdict {
				r := f.proved(id, "a", 1)
				if n%2 == 0 { // while the head is used
					r = f.proved(id, "a", 3)
					r.Issue = f.issue(id, "a", n+3)
				}
				res, err := f.store.RotateRefreshToken(ctx(), r)
				v := f.raced(res.Verdict, err, storage.OK, storage.Repeated, storage.Replayed, storage.Revoked)
				switch {
				case v == storage.Replayed:
					return storage.OK // the one that counts
				case v == storage.OK:
					return storage.Repeated
				}
				return v
			})
			f.revoked(id)
			for n := range racers + 3 {
				f.accessLives(id, n, false)
			}
		}
	},
}

// proved is rotation with a token that proves its grant.
func (f *fixture) proved(id, clientID string, n int) storage.Rotation {
	r := f.rotation(id, clientID, n)
	r.GrantID = "g-" + id
	return r
}
