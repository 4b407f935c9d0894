package caddymodule

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/neighbours"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/placeholders"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/process"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// stub is what a proxied request costs besides the proxy: nothing.
type stub struct{ calls int }

// Forward implements gateway.Forwarder.
func (s *stub) Forward(*gateway.Call, http.ResponseWriter, *http.Request, caddyhttp.Handler) error {
	s.calls++
	return nil
}

// Close implements gateway.Forwarder.
func (*stub) Close() {}

var (
	stubKeys, _ = seal.NewKeyring([]byte("0123456789abcdefghijklmnopqrstuv"))
	stubTokens  = tokens.NewAccessTokens(stubKeys, "https://mcp.example.com")
)

// newStubbedHandler returns a handler on the store, without Caddy and without
// proxy, and its cache of tokens. auth may be nil.
func newStubbedHandler(tb testing.TB, store storage.Store, auth *config.Auth, change ...func(*config.Server)) (*Handler, *tokens.Cache) {
	tb.Helper()
	state := &processState{Process: process.Acquire(), store: store, tokens: tokens.NewCache(store, tokenCacheSize), connections: accounts.NewShared(), catalog: catalog.New(), pins: pins.New()}
	tb.Cleanup(state.Release)
	h := resolvedHandler(tb, auth, change...)
	h.forwarders = []gateway.Forwarder{new(stub)}
	s, _ := newSite(h, state, stubKeys)
	h.site.Store(s)
	return h, state.tokens
}

// resolvedHandler is a handler without Caddy and without a store.
func resolvedHandler(tb testing.TB, auth *config.Auth, change ...func(*config.Server)) *Handler {
	tb.Helper()
	h := &Handler{
		Site: config.Site{
			PublicURL: "https://mcp.example.com", Identities: []config.Identity{{Kind: "anonymous"}},
			Servers: []*config.Server{{ID: "a", Path: "/mcp", Upstream: "http://127.0.0.1:1/mcp", Auth: auth}},
		},
		log: zap.NewNop(), app: new(App),
	}
	for _, c := range change {
		c(h.Servers[0])
	}
	var err error
	if h.cfg, err = h.Resolve(placeholders.Replace); err != nil {
		tb.Fatal(err)
	}
	h.host, h.events = neighbours.NewHost(h.cfg), event.NewRecorder(event.Options{Now: time.Now})
	if err := h.brand(); err != nil {
		tb.Fatal(err)
	}
	return h
}

// storeToken takes a grant through the store as people do, and returns its
// access token.
func storeToken(store storage.Store, grant string) (string, error) {
	return storeTokenAs(store, grant, stubTokens.New)
}

func storeTokenAs(store storage.Store, grant string, newToken func(tokens.Contents) string) (string, error) {
	const issuer, client = "https://mcp.example.com", "c"
	ctx, now := context.Background(), time.Now()
	end, code := now.Add(24*time.Hour), storage.HashOf(grant)
	id := storage.Identity{Kind: "anonymous", Subject: "anonymous:" + grant}
	scope, resources := []string{"mcp:use"}, []string{issuer + "/mcp"}
	if _, err := store.SaveFlow(ctx, storage.Flow{ID: grant, Issuer: issuer, Identity: id, ExpiresAt: end}, now); err != nil {
		return "", err
	}
	if _, err := store.SubmitFlow(ctx, storage.Submission{
		FlowID: grant, Issuer: issuer, Identity: id, Now: now,
		Grant: &storage.Grant{
			ID: grant, Issuer: issuer, ClientID: client, Identity: id, Scope: scope, Resources: resources,
			CreatedAt: now, ExpiresAt: end, AbsoluteExpiresAt: end,
		},
		Code: &storage.Code{Hash: code, GrantID: grant, Issuer: issuer, ClientID: client, Challenge: "x", ExpiresAt: end},
	}); err != nil {
		return "", err
	}
	access := storage.AccessToken{
		GrantID: grant, Issuer: issuer, ClientID: client, Identity: id, Scope: scope, Audience: resources, IssuedAt: now, ExpiresAt: end,
	}
	token := newToken(tokens.ContentsOf(&access))
	access.Hash = storage.HashOf(token)
	claimed, err := store.ClaimCode(ctx, storage.CodeClaim{
		Hash: code, Issuer: issuer, ClientID: client, Challenge: "x", Now: now,
		Issue: storage.Issue{GrantExpiresAt: end, Access: access},
	})
	if err == nil && claimed.Verdict != storage.OK {
		err = fmt.Errorf("verdict %v", claimed.Verdict)
	}
	return token, err
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

// The handler allocates at most three times for a call that passes, also for
// one that carries the caller's own account.
func TestServeHTTPAllocations(t *testing.T) {
	knows := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(knows.Close)
	for name, auth := range map[string]*config.Auth{"no account": nil, "own account": {Mode: "per_user_headers", VerifyURL: knows.URL}} {
		t.Run(name, func(t *testing.T) {
			store := memstore.New()
			h, _ := newStubbedHandler(t, store, auth)
			token, err := storeToken(store, "1")
			if err != nil {
				t.Fatal(err)
			}
			if auth != nil {
				key := map[string]string{"Authorization": "key"}
				if err := h.site.Load().broker.ConnectHeaders(t.Context(), accounts.ConnectRequest{Owner: "anonymous:1", Server: "a"}, key); err != nil {
					t.Fatal(err)
				}
			}
			wantAllocations(t, h, token, 3)
		})
	}
}

// readCounter counts what a warm call must not do.
type readCounter struct {
	storage.Store
	reads atomic.Int64
}

func (s *readCounter) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	s.reads.Add(1)
	return s.Store.AccessToken(ctx, h, now)
}

func (s *readCounter) SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error) {
	s.reads.Add(1)
	return s.Store.SiteValue(ctx, issuer, name, now)
}

// A server that is told who calls, and a token that is a JWT, cost a warm call no
// allocation more, and no read of the store.
func TestSignedCallAllocations(t *testing.T) {
	store := &readCounter{Store: memstore.New()}
	h, cache := newStubbedHandler(t, store, nil, func(s *config.Server) { s.IdentityJWT = "X-Identity" })
	signed := "eyJhbGciOiJFZERTQSIs." + strings.Repeat("x", 600) + ".y"
	token, err := storeTokenAs(store, "1", func(tokens.Contents) string { return signed })
	if err != nil {
		t.Fatal(err)
	}
	hash := storage.HashOf(token)
	_, generation := cache.Fresh(hash, time.Now())
	if _, err := cache.Read(t.Context(), hash, time.Now(), generation, func(tokens.Contents) bool { return true }); err != nil { // as if it had been issued here
		t.Fatal(err)
	}
	if _, err := h.site.Load().as.Signing.Published(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := store.reads.Load()
	wantAllocations(t, h, token, 3)
	if n := store.reads.Load() - before; n != 0 {
		t.Errorf("%d reads of the store", n)
	}
}

func wantAllocations(t *testing.T, h *Handler, token string, want float64) {
	t.Helper()
	w := nowhere{http.Header{}}
	const runs, body = 100, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`
	requests := make([]*http.Request, 0, runs+1)
	for range cap(requests) {
		r := newCall(token)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		requests = append(requests, r)
	}
	if err := h.ServeHTTP(w, newCall(token), nil); err != nil { // what is to be cached gets cached
		t.Fatal(err)
	}
	i := 0
	n := testing.AllocsPerRun(runs, func() {
		if err := h.ServeHTTP(w, requests[i], nil); err != nil {
			t.Fatal(err)
		}
		i++
	})
	if n > want {
		t.Errorf("%v allocations", n)
	}
	if got := h.forwarders[0].(*stub).calls; got != runs+2 {
		t.Errorf("%d calls passed, want %d", got, runs+2)
	}
}
