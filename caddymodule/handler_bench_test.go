package caddymodule

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"golang.org/x/sync/errgroup"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var grants = flag.Int("grants", 1000, "grants in the database of BenchmarkHandler")

const benchIssuer = "http://127.0.0.1:1"

// BenchmarkHandler is what a call costs up to the proxy: finding the path, the
// gate, telling Caddy who calls, removing headers. hot is a call whose token is
// cached, cold one whose token must be read from the database.
func BenchmarkHandler(b *testing.B) {
	h := benchHandler(b)
	tokens := benchTokens(b, h.app.state.store, *grants)
	var all storage.Revocation
	for _, token := range tokens {
		all.AccessTokens = append(all.AccessTokens, storage.HashOf(token))
	}
	for range 3 { // a machine has bad moments
		b.Run("hot", func(b *testing.B) {
			benchCalls(b, h, tokens[:min(len(tokens), 4000)], func(int) {})
		})
		b.Run("cold", func(b *testing.B) {
			benchCalls(b, h, tokens, func(first int) {
				next := min(first+callsPrepared, len(tokens))
				h.app.state.tokens.Forget(storage.Revocation{AccessTokens: all.AccessTokens[first:next]})
			})
		})
	}
}

// callsPrepared is how many requests are made ready at a time, off the clock.
const callsPrepared = 500

// benchCalls sends calls whose tokens take turns. prepare is called with the
// index of the first token of those that come next.

func benchCalls(b *testing.B, h *Handler, tokens []string, prepare func(first int)) {
	s, err := h.open()
	if err != nil {
		b.Fatal(err)
	}
	w := httptest.NewRecorder()
	requests := make([]*http.Request, callsPrepared)
	first := 0
	fill := func() {
		for i := range requests {
			requests[i] = benchCall(w, tokens[(first+i)%len(tokens)])
		}
		prepare(first)
		first = (first + len(requests)) % len(tokens)
	}
	for range 10 { // what is to be cached gets cached
		fill()
		for _, r := range requests {
			e, _ := s.find(r.URL.Path)
			e.server.admit(s, w, r)
		}
	}
	first = 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%callsPrepared == 0 {
			b.StopTimer()
			fill()
			b.StartTimer()
		}
		r := requests[i%callsPrepared]
		e, ok := s.find(r.URL.Path)
		if !ok || !h.servesHost(r.Host) || e.server.admit(s, w, r) == nil {
			b.Fatalf("refused: %s", w.Body)
		}
	}
}

// benchCall returns a call as Caddy's server hands it to a handler.
func benchCall(w http.ResponseWriter, token string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, benchIssuer+"/mcp", nil)
	r.Header = http.Header{
		"Authorization":        {"Bearer " + token},
		"Accept":               {"application/json, text/event-stream"},
		"Content-Type":         {"application/json"},
		"Mcp-Protocol-Version": {"2025-11-25"},
		"User-Agent":           {"bench"},
	}
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
}

// benchHandler returns the handler of a running Caddy that listens nowhere a
// client could be.
func benchHandler(b *testing.B) *Handler {
	b.Helper()
	config := fmt.Sprintf(`{
		admin off
		persist_config off
		auto_https off
		mcp_oauth {
			storage bbolt {
				path %s
			}
			encryption_key AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
		}
	}
	http://127.0.0.1:0 {
		bind 127.0.0.1
		mcp_oauth {
			public_url %s
			identity anonymous
			server bench /mcp http://127.0.0.1:2/mcp
		}
	}`, filepath.Join(b.TempDir(), "db"), benchIssuer)
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := caddy.Load(adapted, true); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = caddy.Stop() })
	return activeApp().handlers[0]
}

// benchTokens takes n grants through the store as people do, many at a time,
// so that they share the cost of making them durable.
func benchTokens(b *testing.B, store storage.Store, n int) []string {
	b.Helper()
	tokens := make([]string, n)
	now := time.Now()
	var workers errgroup.Group
	workers.SetLimit(512)
	for i := range n {
		workers.Go(func() error {
			tokens[i] = fmt.Sprintf("mcpat_%043d", i)
			return benchGrant(context.Background(), store, fmt.Sprint("grant-", i), tokens[i], now)
		})
	}
	if err := workers.Wait(); err != nil {
		b.Fatal(err)
	}
	return tokens
}

func benchGrant(ctx context.Context, store storage.Store, id, token string, now time.Time) error {
	end := now.Add(24 * time.Hour)
	who := storage.Identity{Kind: string(identity.Anonymous), Subject: "anonymous:" + id}
	if _, err := store.SaveFlow(ctx, storage.Flow{ID: id, Issuer: benchIssuer, Identity: who, ExpiresAt: end}, now); err != nil {
		return err
	}
	grant := &storage.Grant{
		ID: id, Issuer: benchIssuer, ClientID: "client", Identity: who, Scope: []string{defaultScope},
		Resources: []string{benchIssuer + "/mcp"}, CreatedAt: now, ExpiresAt: end, AbsoluteExpiresAt: end,
	}
	code := storage.Code{Hash: storage.HashOf(id), GrantID: id, Issuer: benchIssuer, ClientID: "client", Challenge: "c", ExpiresAt: end}
	if _, err := store.SubmitFlow(ctx, storage.Submission{
		FlowID: id, Issuer: benchIssuer, Subject: who.Subject, Grant: grant, Code: &code, Now: now,
	}); err != nil {
		return err
	}
	result, err := store.ClaimCode(ctx, storage.CodeClaim{
		Hash: code.Hash, Issuer: benchIssuer, ClientID: "client", Challenge: "c", Now: now,
		Issue: storage.Issue{GrantExpiresAt: end, Access: storage.AccessToken{
			Hash: storage.HashOf(token), GrantID: id, Issuer: benchIssuer, ClientID: "client", Identity: who,
			Scope: grant.Scope, Audience: grant.Resources, IssuedAt: now, ExpiresAt: end,
		}},
	})
	if err == nil && result.Verdict != storage.OK {
		err = fmt.Errorf("verdict %d", result.Verdict)
	}
	return err
}
