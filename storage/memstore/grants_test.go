package memstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// One call looks at a bounded number of records, however few of them are valid.
func TestListingHoldsNobodyUp_M13(t *testing.T) {
	const records, bound = 5000, 4096
	ctx, now := context.Background(), time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	s := New()
	defer s.Close()
	for i := range records {
		id := fmt.Sprintf("%04d", i)
		who := storage.Identity{Kind: "anonymous", Subject: "anonymous:" + id}
		if _, err := s.SaveFlow(ctx, storage.Flow{ID: id, Issuer: "https://a.example", Identity: who, ExpiresAt: now.Add(time.Hour)}, now); err != nil {
			t.Fatal(err)
		}
		v, err := s.SubmitFlow(ctx, storage.Submission{
			FlowID: id, Issuer: "https://a.example", Identity: who, Now: now,
			Grant: &storage.Grant{ID: id, Issuer: "https://a.example", Identity: who, ExpiresAt: now.Add(time.Hour), AbsoluteExpiresAt: now.Add(time.Hour)},
			Code:  &storage.Code{Hash: storage.HashOf(id), GrantID: id, ExpiresAt: now.Add(time.Minute)},
		})
		if err != nil || v != storage.OK {
			t.Fatal(v, err)
		}
		if i == records-1 {
			break // the only valid one
		}
		if _, err := s.RevokeGrant(ctx, id, now); err != nil {
			t.Fatal(err)
		}
	}
	none, next, err := s.Grants(ctx, "", 10, now)
	if err != nil || len(none) != 0 || next != fmt.Sprint(bound-1) {
		t.Fatalf("%d grants, on from %q, %v", len(none), next, err)
	}
	last, next, err := s.Grants(ctx, next, 10, now)
	if err != nil || len(last) != 1 || next != "" {
		t.Errorf("then %d grants, on from %q, %v", len(last), next, err)
	}
}
