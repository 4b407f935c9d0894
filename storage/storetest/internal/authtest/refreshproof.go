package authtest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// A refresh token that proves its grant is recognised without a record of it.
var refreshProofTests = map[string]func(*fixture){
	"the head and its predecessor have records, no more": func(f *fixture) {
		f.SignIn("1", "a")
		const last = 40
		for n := 1; n <= last; n++ {
			f.After(time.Second)
			f.Rotate(f.proved("1", "a", n), storage.OK)
		}
		for n := range last + 1 {
			_, _, err := f.Store.RefreshToken(suite.Ctx(), suite.Hash("refresh 1 %d", n), f.Now)
			if n < last-1 {
				f.WantError(err, storage.ErrNotFound)
				continue
			}
			f.Must(err)
		}
	},
	"any earlier one revokes the family D01": func(f *fixture) {
		for reused := range 5 {
			id := fmt.Sprint("of ", reused)
			f.SignIn(id, "a")
			for n := 1; n <= 5; n++ {
				f.Rotate(f.proved(id, "a", n), storage.OK)
			}
			f.After(10 * 24 * time.Hour)
			_, err := f.Store.Sweep(suite.Ctx(), f.Now)
			f.Must(err)
			res := f.Rotate(f.proved(id, "a", reused+1), storage.Replayed)
			f.Equal(res.Revocation.GrantIDs, []string{"g-" + id})
			f.Revoked(id)
			f.AccessLives(id, 5, false)
			f.Rotate(f.proved(id, "a", 6), storage.Revoked)
			f.Rotate(f.proved(id, "a", reused+1), storage.Revoked)
		}
	},
	"the predecessor is repeated within the window D13": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.proved("1", "a", 1), storage.OK)
		f.Rotate(f.proved("1", "a", 2), storage.OK)
		f.After(suite.Grace)
		f.Equal(string(f.Rotate(f.proved("1", "a", 2), storage.Repeated).Replay), "response 1 2")
		f.Rotate(f.proved("1", "a", 3), storage.OK)
	},
	"one without record and proof is unknown": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.proved("1", "a", 1), storage.OK)
		f.Rotate(f.proved("1", "a", 2), storage.OK)
		f.Rotate(f.Rotation("1", "a", 1), storage.Unknown)
		f.Rotate(f.proved("1", "a", 3), storage.OK)
	},
	"one of another client or issuer changes nothing D08": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.proved("1", "a", 1), storage.OK)
		f.Rotate(f.proved("1", "a", 2), storage.OK)
		foreign, elsewhere := f.proved("1", "a", 1), f.proved("1", "a", 1)
		foreign.ClientID = "b"
		elsewhere.Issuer = suite.OtherIssuer
		f.Rotate(foreign, storage.WrongClient)
		f.Rotate(elsewhere, storage.WrongClient)
		f.Rotate(f.proved("1", "a", 3), storage.OK)
	},
	"one of a grant that ended": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.proved("1", "a", 1), storage.OK)
		f.Rotate(f.proved("1", "a", 2), storage.OK)
		f.After(30 * 24 * time.Hour)
		f.Rotate(f.proved("1", "a", 1), storage.Expired)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Rotate(f.proved("1", "a", 1), storage.Expired)
	},
	// As in a database of an earlier version, whose tokens prove nothing.
	"one that proves nothing keeps its record D01": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		for n := 2; n <= 5; n++ {
			f.Rotate(f.proved("1", "a", n), storage.OK)
		}
		f.After(10 * 24 * time.Hour)
		f.Rotate(f.Rotation("1", "a", 1), storage.Replayed)
		f.Revoked("1")
	},
	"a token cannot prove another grant": func(f *fixture) {
		f.SignIn("1", "a")
		f.SignIn("2", "a")
		r := f.proved("1", "a", 1)
		r.GrantID = "g-2"
		if res, err := f.Store.RotateRefreshToken(suite.Ctx(), r); err == nil {
			f.Fatalf("verdict %v", res.Verdict)
		}
		f.Rotate(f.proved("1", "a", 1), storage.OK)
	},
	"a new head must come with the rotation": func(f *fixture) {
		f.SignIn("1", "a")
		r := f.proved("1", "a", 1)
		r.Issue.Refresh = nil
		if res, err := f.Store.RotateRefreshToken(suite.Ctx(), r); err == nil {
			f.Fatalf("verdict %v", res.Verdict)
		}
		f.Rotate(f.proved("1", "a", 1), storage.OK)
	},
	"racers with an earlier one revoke the family once": func(f *fixture) {
		for round := range suite.Rounds {
			id := fmt.Sprint(round)
			f.SignIn(id, "a")
			f.Rotate(f.proved(id, "a", 1), storage.OK)
			f.Rotate(f.proved(id, "a", 2), storage.OK)
			f.Race(func(n int) storage.Verdict {
				r := f.proved(id, "a", 1)
				if n%2 == 0 { // while the head is used
					r = f.proved(id, "a", 3)
					r.Issue = f.Issue(id, "a", n+3)
				}
				res, err := f.Store.RotateRefreshToken(suite.Ctx(), r)
				v := f.Raced(res.Verdict, err, storage.OK, storage.Repeated, storage.Replayed, storage.Revoked)
				switch {
				case v == storage.Replayed:
					return storage.OK // the one that counts
				case v == storage.OK:
					return storage.Repeated
				}
				return v
			})
			f.Revoked(id)
			for n := range suite.Racers + 3 {
				f.AccessLives(id, n, false)
			}
		}
	},
}

// proved is rotation with a token that proves its grant.
func (f *fixture) proved(id, clientID string, n int) storage.Rotation {
	r := f.Rotation(id, clientID, n)
	r.GrantID = "g-" + id
	return r
}
