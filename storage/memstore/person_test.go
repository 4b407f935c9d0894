package memstore

import (
	"context"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// reads counts the reads of an engine.
type reads struct {
	kv.Engine
	n int
}

func (e *reads) View(ctx context.Context, fn func(kv.Reader) error) error {
	return e.Engine.View(ctx, func(r kv.Reader) error { return fn(&readsReader{r, e}) })
}

type readsReader struct {
	kv.Reader
	engine *reads
}

func (r *readsReader) Get(key []byte) []byte {
	r.engine.n++
	return r.Reader.Get(key)
}

// A call that is not remembered costs one read, and one of the person only where
// the identity has one.
func TestReadsOfACall(t *testing.T) {
	const issuer = "https://mcp.example.com"
	engine := &reads{Engine: newEngine()}
	s, now := kv.New(engine), time.Now()
	p, _, err := s.SavePerson(t.Context(), storage.PersonLogin{Person: storage.Person{
		Issuer: issuer, Subject: "oidc:company:alice", Kind: "oidc:company", ID: "1", ExpiresAt: now.Add(time.Hour),
	}}, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		identity storage.Identity
		reads    int
	}{
		"a virtual key": {storage.Identity{Kind: "virtual_key", Subject: "virtual_key:alice", Name: "alice"}, 1},
		"a person":      {p.Identity(), 2},
	} {
		v, err := s.SaveFlow(t.Context(), storage.Flow{ID: name, Issuer: issuer, Identity: tt.identity, ExpiresAt: now.Add(time.Hour)}, now)
		if err != nil || v != storage.OK {
			t.Fatal(v, err)
		}
		v, err = s.SubmitFlow(t.Context(), storage.Submission{
			FlowID: name, Issuer: issuer, Identity: tt.identity, Now: now,
			Grant: &storage.Grant{ID: name, Issuer: issuer, Identity: tt.identity, ExpiresAt: now.Add(time.Hour), AbsoluteExpiresAt: now.Add(time.Hour)},
			Code:  &storage.Code{Hash: storage.HashOf(name), GrantID: name, Issuer: issuer, Challenge: "c", ExpiresAt: now.Add(time.Hour)},
		})
		if err != nil || v != storage.OK {
			t.Fatal(v, err)
		}
		res, err := s.ClaimCode(t.Context(), storage.CodeClaim{
			Hash: storage.HashOf(name), Issuer: issuer, Challenge: "c", Now: now,
			Issue: storage.Issue{Access: storage.AccessToken{
				Hash: storage.HashOf("token of " + name), GrantID: name, Issuer: issuer, Identity: tt.identity, ExpiresAt: now.Add(time.Hour),
			}},
		})
		if err != nil || res.Verdict != storage.OK {
			t.Fatal(res.Verdict, err)
		}
		engine.n = 0
		token, err := s.AccessToken(t.Context(), storage.HashOf("token of "+name), now)
		if err != nil || engine.n != tt.reads || (token.Identity.Claims != nil) != (tt.reads == 2) {
			t.Errorf("%s: %d reads, want %d; %+v, %v", name, engine.n, tt.reads, token, err)
		}
	}
}
