package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// stub is what a proxied request costs besides the proxy: nothing.
type stub struct{}

func (stub) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil }

// newStubbedHandler returns a handler without Caddy and without proxy, and the
// access token of a grant.
func newStubbedHandler(tb testing.TB) (*Handler, string) {
	tb.Helper()
	store := memstore.New()
	now := time.Now()
	h := &Handler{
		PublicURL: "https://mcp.example.com", Identities: []Identity{{Kind: "anonymous"}},
		Servers: []Server{{ID: "a", Path: "/mcp", Upstream: "http://127.0.0.1:1/mcp"}},
		log:     zap.NewNop(), host: "mcp.example.com", app: new(App),
	}
	var err error
	if h.cfg, err = h.convert(whenProvisioning); err != nil {
		tb.Fatal(err)
	}
	h.upstreams = []*upstream{{id: "a", resource: h.cfg.Servers[0].Resource, proxy: stub{}}}
	keys, err := seal.NewKeyring([]byte("0123456789abcdefghijklmnopqrstuv"))
	if err != nil {
		tb.Fatal(err)
	}
	state := &processState{store: store, tokens: authz.NewTokenCache(store, 1024), limiter: authz.NewLimiter(16), streams: newStreams()}
	s, _, err := newSite(h, state, keys)
	if err != nil {
		tb.Fatal(err)
	}
	h.site.Store(s)
	token := "mcpat_" + "0123456789012345678901234567890123456789012"
	return h, storeToken(tb, store, token, h.cfg.Servers[0].Resource, now)
}

// storeToken makes the token one that somebody was given.
func storeToken(tb testing.TB, store storage.Store, token, resource string, now time.Time) string {
	tb.Helper()
	ctx := context.Background()
	id := storage.Identity{Kind: "anonymous", Subject: "anonymous:x"}
	end := now.Add(time.Hour)
	flow := storage.Flow{ID: "f", Issuer: "https://mcp.example.com", Identity: id, ExpiresAt: end}
	if v, err := store.SaveFlow(ctx, flow, now); v != storage.OK || err != nil {
		tb.Fatal(v, err)
	}
	code := storage.HashOf("code")
	v, err := store.SubmitFlow(ctx, storage.Submission{
		FlowID: "f", Issuer: flow.Issuer, Subject: id.Subject, Now: now,
		Grant: &storage.Grant{ID: "g", Issuer: flow.Issuer, ClientID: "c", Identity: id, Scope: []string{"mcp:use"},
			Resources: []string{resource}, CreatedAt: now, ExpiresAt: end, AbsoluteExpiresAt: end},
		Code: &storage.Code{Hash: code, GrantID: "g", Issuer: flow.Issuer, ClientID: "c", Challenge: "x", ExpiresAt: end},
	})
	if v != storage.OK || err != nil {
		tb.Fatal(v, err)
	}
	claimed, err := store.ClaimCode(ctx, storage.CodeClaim{
		Hash: code, Issuer: flow.Issuer, ClientID: "c", Challenge: "x", Now: now,
		Issue: storage.Issue{GrantExpiresAt: end, Access: storage.AccessToken{
			Hash: storage.HashOf(token), GrantID: "g", Issuer: flow.Issuer, ClientID: "c", Identity: id,
			Scope: []string{"mcp:use"}, Audience: []string{resource}, IssuedAt: now, ExpiresAt: end,
		}},
	})
	if claimed.Verdict != storage.OK || err != nil {
		tb.Fatal(claimed.Verdict, err)
	}
	return token
}

// newCall returns a request as Caddy prepares it.
func newCall(token string) *http.Request {
	r := httptest.NewRequest("POST", "https://mcp.example.com/mcp", nil)
	for name, value := range map[string]string{
		"Authorization": "Bearer " + token, "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2025-11-25", "User-Agent": "bench", "Accept-Encoding": "gzip", "Content-Length": "100",
	} {
		r.Header.Set(name, value)
	}
	repl := caddy.NewReplacer()
	repl.Map(func(string) (any, bool) { return nil, false }) // as the server does
	ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl)
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{"a": 1, "b": 2})
	return r.WithContext(ctx)
}

type nowhere struct{ h http.Header }

func (n nowhere) Header() http.Header         { return n.h }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }

// The handler's own cost of a call whose token is known: path, host, gate,
// session, headers, placeholders.
func BenchmarkServeHTTP(b *testing.B) {
	h, token := newStubbedHandler(b)
	w := nowhere{http.Header{}}
	const batch = 256
	requests := make([]*http.Request, batch)
	b.ReportAllocs()
	i := batch
	for b.Loop() {
		if i == batch {
			b.StopTimer()
			for j := range requests {
				requests[j] = newCall(token)
			}
			i = 0
			b.StartTimer()
		}
		if err := h.ServeHTTP(w, requests[i], nil); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// The handler allocates at most three times for a call that passes.
func TestServeHTTPAllocations(t *testing.T) {
	h, token := newStubbedHandler(t)
	w := nowhere{http.Header{}}
	const runs = 100
	requests := make([]*http.Request, 0, runs+1)
	for range cap(requests) {
		requests = append(requests, newCall(token))
	}
	i := 0
	n := testing.AllocsPerRun(runs, func() {
		if err := h.ServeHTTP(w, requests[i], nil); err != nil {
			t.Fatal(err)
		}
		i++
	})
	if n > 3 {
		t.Errorf("%v allocations", n)
	}
	if got := caddyhttp.GetVar(requests[0].Context(), callKey); got == nil {
		t.Error("the call did not pass")
	}
}
