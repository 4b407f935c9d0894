package authtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// approveChosen takes a flow to its first tokens, with what the person chose.
func (f *fixture) approveChosen(id string, change func(*storage.Grant)) {
	f.Helper()
	v, err := f.Store.SaveFlow(suite.Ctx(), f.Flow(id), f.Now)
	f.Verdict(v, err, storage.OK)
	sub := f.Submission(id, "a")
	change(sub.Grant)
	v, err = f.Store.SubmitFlow(suite.Ctx(), sub)
	f.Verdict(v, err, storage.OK)
}

// chosen checks what access tokens of a grant, and the grant, are good for.
func (f *fixture) chosen(id string, want []storage.Choice, tokens ...int) {
	f.Helper()
	g, err := f.Store.Grant(suite.Ctx(), "g-"+id, f.Now)
	f.Must(err)
	f.Equal(g.Chosen, want)
	for _, n := range tokens {
		t, err := f.Store.AccessToken(suite.Ctx(), suite.Hash("access %s %d", id, n), f.Now)
		f.Must(err)
		f.Equal(t.Chosen, want)
	}
}

const otherResource = suite.Resource + "/other"

var chosenTests = map[string]func(*fixture){
	"tokens have what the grant says, whatever who issues them says": func(f *fixture) {
		want := []storage.Choice{{Resource: suite.Resource, Tools: []string{"list", "read"}, Without: []string{"delete"}, Others: storage.ReadOnlyOthers}}
		f.approveChosen("1", func(g *storage.Grant) { g.Chosen = want })
		claim := f.Claim("1", "a")
		claim.Issue.Access.Chosen = suite.Choose("delete")
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.OK)
		f.Equal(res.Grant.Chosen, want)
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.chosen("1", want, 0, 1)
	},
	"a token has what is chosen of its audience": func(f *fixture) {
		both := append(suite.Choose("read"), storage.Choice{Resource: otherResource, Others: storage.NoOthers})
		f.approveChosen("1", func(g *storage.Grant) { g.Resources, g.Chosen = []string{suite.Resource, otherResource}, both })
		claim := f.Claim("1", "a")
		claim.Issue.Access.Audience = []string{otherResource}
		res, err := f.Store.ClaimCode(suite.Ctx(), claim)
		f.Verdict(res.Verdict, err, storage.OK)
		t, err := f.Store.AccessToken(suite.Ctx(), suite.Hash("access 1 0"), f.Now)
		f.Must(err)
		f.Equal(t.Chosen, both[1:])
		change := f.Change("1", "list")
		_, err = f.Store.ChangeGrant(suite.Ctx(), change)
		f.Must(err)
		t, err = f.Store.AccessToken(suite.Ctx(), suite.Hash("access 1 0"), f.Now)
		f.Must(err)
		f.Equal(t.Chosen, []storage.Choice(nil))
	},
	"a change reaches all tokens, and those to come": func(f *fixture) {
		f.SignIn("1", "a")
		f.Rotate(f.Rotation("1", "a", 1), storage.OK)
		f.SignIn("2", "a")
		rev, err := f.Store.ChangeGrant(suite.Ctx(), f.Change("1", "read"))
		f.Must(err)
		f.Equal(rev, storage.Revocation{
			AccessTokens: []storage.Hash{suite.Hash("access 1 0"), suite.Hash("access 1 1")}, GrantIDs: []string{"g-1"},
		})
		f.chosen("1", suite.Choose("read"), 0, 1)
		f.chosen("2", nil, 0)
		f.Rotate(f.Rotation("1", "a", 2), storage.OK)
		f.chosen("1", suite.Choose("read"), 0, 1, 2)
		widened := f.Change("1", "read")
		widened.Chosen = nil
		_, err = f.Store.ChangeGrant(suite.Ctx(), widened)
		f.Must(err)
		f.chosen("1", nil, 0, 1, 2)
	},
	"a grant and its tokens end when the person says, and never later than before": func(f *fixture) {
		f.SignIn("1", "a")
		change := f.Change("1", "read")
		change.EndsBy = f.Now.Add(365 * 24 * time.Hour)
		_, err := f.Store.ChangeGrant(suite.Ctx(), change)
		f.Must(err)
		g, err := f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal(g.AbsoluteExpiresAt, f.Now.Add(90*24*time.Hour))
		f.Equal(g.ExpiresAt, f.Now.Add(30*24*time.Hour))
		change.EndsBy = f.Now.Add(30 * time.Minute)
		_, err = f.Store.ChangeGrant(suite.Ctx(), change)
		f.Must(err)
		f.Rotate(f.Rotation("1", "a", 1), storage.OK) // made by who did not know
		g, err = f.Store.Grant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		f.Equal([]time.Time{g.ExpiresAt, g.AbsoluteExpiresAt}, []time.Time{change.EndsBy, change.EndsBy})
		f.After(30*time.Minute - 1)
		f.AccessLives("1", 0, true)
		f.AccessLives("1", 1, true)
		f.After(1)
		f.AccessLives("1", 0, false)
		f.AccessLives("1", 1, false)
		_, err = f.Store.Sweep(suite.Ctx(), f.Now.Add(time.Hour))
		f.Must(err)
		f.Rotate(f.Rotation("1", "a", 2), storage.Expired)
	},
	"a grant that is nobody's to change": func(f *fixture) {
		f.SignIn("1", "a")
		for what, change := range map[string]func(*storage.GrantChange){
			"another's":      func(c *storage.GrantChange) { c.Subject = suite.Bob.Subject },
			"another site's": func(c *storage.GrantChange) { c.Issuer = "https://other.example.com" },
			"unknown":        func(c *storage.GrantChange) { c.ID = "g-unknown" },
			"ended":          func(c *storage.GrantChange) { c.Now = f.Now.Add(31 * 24 * time.Hour) },
		} {
			c := f.Change("1", "read")
			change(&c)
			if rev, err := f.Store.ChangeGrant(suite.Ctx(), c); err != storage.ErrNotFound || len(rev.GrantIDs) > 0 {
				f.Errorf("%s: %v, %v", what, rev, err)
			}
		}
		f.chosen("1", nil, 0)
		_, err := f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)
		f.Must(err)
		_, err = f.Store.ChangeGrant(suite.Ctx(), f.Change("1", "read"))
		f.WantError(err, storage.ErrNotFound)
		f.AccessLives("1", 0, false)
	},
	"what is no choice of the grant's resources is refused": func(f *fixture) {
		f.SignIn("1", "a")
		many := make([]string, storage.MaxChosen+1)
		for i := range many {
			many[i] = fmt.Sprintf("tool-%03d", i)
		}
		for what, chosen := range map[string][]storage.Choice{
			"another resource":  {{Resource: otherResource, Others: storage.NoOthers}},
			"one twice":         slices.Concat(suite.Choose("a"), suite.Choose("b")),
			"others unsaid":     {{Resource: suite.Resource}},
			"a name twice":      suite.Choose("a", "a"),
			"names in disorder": suite.Choose("b", "a"),
			"an empty name":     suite.Choose(""),
			"a long name":       suite.Choose(strings.Repeat("a", storage.MaxChosenLength+1)),
			"too many":          suite.Choose(many...),
		} {
			c := f.Change("1", "read")
			c.Chosen = chosen
			if _, err := f.Store.ChangeGrant(suite.Ctx(), c); err == nil || err == storage.ErrNotFound {
				f.Errorf("%s: %v", what, err)
			}
		}
		f.chosen("1", nil, 0)
		c := f.Change("1", "read")
		c.Chosen = suite.Choose(many[1:]...)
		_, err := f.Store.ChangeGrant(suite.Ctx(), c)
		f.Must(err)
		f.chosen("1", c.Chosen, 0)
		sub := f.Submission("2", "a")
		sub.Grant.Chosen = suite.Choose("b", "a")
		_, err = f.Store.SaveFlow(suite.Ctx(), f.Flow("2"), f.Now)
		f.Must(err)
		if v, err := f.Store.SubmitFlow(suite.Ctx(), sub); err == nil {
			f.Errorf("submitted: %v", v)
		}
	},
	"an access token that was revoked stays so": func(f *fixture) {
		f.SignIn("1", "a")
		did, err := f.Store.RevokeAccessToken(suite.Ctx(), suite.Hash("access 1 0"), suite.Issuer, "a", f.Now)
		f.Must(err)
		f.Equal(did, true)
		_, err = f.Store.ChangeGrant(suite.Ctx(), f.Change("1", "read"))
		f.Must(err)
		f.AccessLives("1", 0, false)
	},
}
