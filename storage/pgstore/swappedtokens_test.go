//go:build postgres

package pgstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// A code or refresh token whose record was put into the row of another's is damage. Where
// whole rows changed places, it yields nothing without the proof that belongs to the other:
// the verifier of a code, and the grant that a refresh token proves to belong to.
func TestSwappedTokens_M02(t *testing.T) {
	s, schema, _ := openSchema(t, schemas)
	ctx, now, issuer := t.Context(), time.Now(), "https://gw.example"
	issue := func(name, who string) storage.Issue {
		return storage.Issue{
			GrantExpiresAt: now.Add(time.Hour),
			Access:         storage.AccessToken{Hash: storage.HashOf("access " + name + who), GrantID: "grant " + who, Issuer: issuer, ClientID: "c", ExpiresAt: now.Add(time.Hour)},
			Refresh:        &storage.RefreshToken{Hash: storage.HashOf(name + who), GrantID: "grant " + who, Issuer: issuer, ClientID: "c", ExpiresAt: now.Add(time.Hour)},
		}
	}
	claim := func(code, who string) (storage.Verdict, error) {
		res, err := s.ClaimCode(ctx, storage.CodeClaim{Hash: storage.HashOf(code + who), Issuer: issuer, ClientID: "c", Challenge: "of " + who, Now: now, Issue: issue("first ", who)})
		return res.Verdict, err
	}
	rotate := func(who string) (storage.Verdict, error) {
		res, err := s.RotateRefreshToken(ctx, storage.Rotation{Hash: storage.HashOf("first " + who), Issuer: issuer, ClientID: "c", GrantID: "grant " + who, Now: now, Issue: issue("second ", who)})
		return res.Verdict, err
	}
	approve := func(code, grant, who string) {
		t.Helper()
		id := storage.Identity{Kind: "virtual_key", Subject: who}
		v, err := s.SaveFlow(ctx, storage.Flow{ID: code + who, Issuer: issuer, Identity: id, ExpiresAt: now.Add(time.Hour)}, now)
		if err == nil && v == storage.OK {
			v, err = s.SubmitFlow(ctx, storage.Submission{
				FlowID: code + who, Issuer: issuer, Identity: id, Now: now,
				Grant: &storage.Grant{ID: grant + who, Issuer: issuer, ClientID: "c", Identity: id, ExpiresAt: now.Add(time.Hour), AbsoluteExpiresAt: now.Add(time.Hour)},
				Code:  &storage.Code{Hash: storage.HashOf(code + who), GrantID: grant + who, Issuer: issuer, ClientID: "c", Challenge: "of " + who, ExpiresAt: now.Add(time.Minute)},
			})
		}
		if err != nil || v != storage.OK {
			t.Fatalf("%s%s: %v, %v", code, who, v, err)
		}
	}
	both := func(want func(storage.Verdict, error) bool, what string, call func(who string) (storage.Verdict, error)) {
		t.Helper()
		for _, who := range []string{"a", "b"} {
			if v, err := call(who); !want(v, err) {
				t.Errorf("%s of %s: got %v, %v", what, who, v, err)
			}
		}
	}
	corrupt := func(_ storage.Verdict, err error) bool { return errors.Is(err, record.ErrCorrupt) }
	swapBodies := func(table string) {
		t.Helper()
		sql(t, fmt.Sprintf(`update %[1]s.%[2]s x set body = (select body from %[1]s.%[2]s y where y.hash <> x.hash)`, schema, table))
	}
	swapRows := func(table string) {
		t.Helper()
		sql(t, fmt.Sprintf(`update %[1]s.%[2]s set grant_id = (select y.grant_id from %[1]s.%[2]s y where y.hash <> %[2]s.hash),
				body = (select y.body from %[1]s.%[2]s y where y.hash <> %[2]s.hash)`, schema, table))
	}

	for _, who := range []string{"a", "b"} {
		approve("code ", "grant ", who)
	}
	swapBodies("codes")
	both(corrupt, "a code with another's record", func(who string) (storage.Verdict, error) { return claim("code ", who) })
	swapBodies("codes")
	both(func(v storage.Verdict, err error) bool { return err == nil && v == storage.OK }, "its own code",
		func(who string) (storage.Verdict, error) { return claim("code ", who) })

	swapBodies("refresh_tokens")
	both(corrupt, "a refresh token with another's record", rotate)
	both(corrupt, "to look at it", func(who string) (storage.Verdict, error) {
		_, _, err := s.RefreshToken(ctx, storage.HashOf("first "+who), now)
		return storage.Unknown, err
	})
	swapBodies("refresh_tokens")
	swapRows("refresh_tokens")
	both(func(_ storage.Verdict, err error) bool { return errors.Is(err, errForeignIssue) }, "a refresh token in another's row", rotate)
	swapRows("refresh_tokens")
	both(func(v storage.Verdict, err error) bool { return err == nil && v == storage.OK }, "its own refresh token", rotate)

	sql(t, "delete from "+schema+".codes")
	for _, who := range []string{"a", "b"} {
		approve("another code ", "another grant ", who)
	}
	swapRows("codes")
	both(func(v storage.Verdict, err error) bool { return err == nil && v == storage.ProofFailed }, "a code in another's row",
		func(who string) (storage.Verdict, error) { return claim("another code ", who) })
}
