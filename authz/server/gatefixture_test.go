package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/gate"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

const gateIssuer = "https://mcp.example.com"

// tokenStore is a store of access tokens that counts reads and can fail.
type tokenStore struct {
	storage.Store // nil: nothing else is called
	mu            sync.Mutex
	tokens        map[storage.Hash]storage.AccessToken
	grants        map[string]storage.Grant
	reads         int
	err           error
	// beforeReturn runs between reading a token and returning it.
	beforeReturn func()
}

func (s *tokenStore) AccessToken(_ context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	s.mu.Lock()
	s.reads++
	t, ok := s.tokens[h]
	err, hook := s.err, s.beforeReturn
	s.mu.Unlock()
	if hook != nil {
		hook()
	}
	switch {
	case err != nil:
		return storage.AccessToken{}, err
	case !ok || !now.Before(t.ExpiresAt):
		return storage.AccessToken{}, storage.ErrNotFound
	}
	return t, nil
}

func (s *tokenStore) Grant(_ context.Context, id string, now time.Time) (storage.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.grants[id]
	switch {
	case s.err != nil:
		return storage.Grant{}, s.err
	case !ok || !now.Before(g.ExpiresAt):
		return storage.Grant{}, storage.ErrNotFound
	}
	return g, nil
}

func (s *tokenStore) put(token string, t storage.AccessToken) storage.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Hash = storage.HashOf(token)
	s.tokens[t.Hash] = t
	return t.Hash
}

func (s *tokenStore) drop(h storage.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, h)
}

// gateFixture is one issuer with three servers and a clock.
type gateFixture struct {
	as    *AuthorizationServer
	store *tokenStore
	cache *tokens.Cache
	clock *oauthtest.Clock
}

func gateConfig() config.Site {
	return config.Site{
		Issuer: gateIssuer,
		Servers: []*config.Server{
			{ID: "notion", Title: "Notion", Path: "/mcp/notion", Resource: gateIssuer + "/mcp/notion", Scopes: []string{"mcp:use"}, OptionalScopes: []string{"notion:write"}},
			{ID: "mcp", Path: "/mcp", Resource: gateIssuer + "/mcp", Scopes: []string{"mcp:use"}},
			{ID: "mcp2", Path: "/mcp2", Resource: gateIssuer + "/mcp2", Scopes: []string{"mcp:use", "mcp:two"}},
		},
		SignIn: identity.Methods{identity.ByVirtualKey(nil), identity.Anonymously()},
		Keys: identity.NewVirtualKeys(
			identity.Key{Name: "ci", Hash: storage.HashOf("sk-ci"), Servers: []string{"mcp"}},
			identity.Key{Name: "ops", Hash: storage.HashOf("sk-ops")},
		),
		Lifetimes: config.DefaultLifetimes, Registration: config.DefaultRegistration(),
		AllowedOrigins: []string{"https://app.example.org"},
	}
}

// madeUpToken looks like an access token and is none.
var madeUpToken = tokens.AccessPrefix + strings.Repeat("A", len(gateTokens.New(tokens.Contents{}))-len(tokens.AccessPrefix))

// gateKeys and gateTokens are those of every fixture.
var (
	gateKeys, _ = seal.NewKeyring([]byte("0123456789abcdefghijklmnopqrstuv"))
	gateTokens  = tokens.NewAccessTokens(gateKeys, gateIssuer)
)

func newGateFixture(t testing.TB, cfg config.Site) *gateFixture {
	t.Helper()
	signInByKeys(&cfg)
	f := &gateFixture{
		store: &tokenStore{tokens: map[storage.Hash]storage.AccessToken{}},
		clock: oauthtest.NewClock(time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)),
	}
	f.cache = tokens.NewCache(f.store, 1024)
	f.as = New(&cfg, Deps{
		Store: f.store, TokenCache: f.cache, Keys: gateKeys, StepUps: gate.NewStepUps(8), Limiter: ratelimit.New(1000), ClientIP: func(r *http.Request) string { return r.RemoteAddr }, Egress: egress.New(egress.Options{}), Documents: newDocuments(),
		Now: f.clock.Now,
	})
	return f
}

func (f *gateFixture) gate(id string) *gate.Gate {
	for _, s := range f.as.cfg.Servers {
		if s.ID == id {
			return f.as.Gate(s, nil)
		}
	}
	panic("no server " + id)
}

// issue stores a token that passes at /mcp, changed by change.
func (f *gateFixture) issue(change func(*storage.AccessToken)) string {
	t := storage.AccessToken{
		GrantID: "grant-1", Issuer: gateIssuer, ClientID: "client-1",
		Identity: storage.Identity{Kind: string(identity.Anonymous), Subject: "anonymous:1"},
		Scope:    []string{"mcp:use"}, Audience: []string{gateIssuer + "/mcp"},
		IssuedAt: f.clock.Now(), ExpiresAt: f.clock.Now().Add(time.Hour),
	}
	if change != nil {
		change(&t)
	}
	token := gateTokens.New(tokens.ContentsOf(&t))
	f.store.put(token, t)
	return token
}

func call(g *gate.Gate, method, target string, header ...string) (*tokens.Caller, *httptest.ResponseRecorder) {
	r := httptest.NewRequest(method, target, strings.NewReader(`{"jsonrpc":"2.0"}`))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	return g.Check(w, r), w
}

// refused asserts status and challenge, and that the body carries a
// correlation id and nothing of the token.
func refused(t *testing.T, c *tokens.Caller, w *httptest.ResponseRecorder, status int, challenge string) {
	t.Helper()
	if c != nil {
		t.Fatalf("passed as %+v", c)
	}
	if w.Code != status {
		t.Errorf("status %d, want %d", w.Code, status)
	}
	if got := w.Header().Get("WWW-Authenticate"); got != challenge {
		t.Errorf("challenge\n got %s\nwant %s", got, challenge)
	}
	var body map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body["correlation_id"] == "" {
		t.Errorf("body %s", w.Body)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("cacheable: %v", w.Header())
	}
	if strings.Contains(w.Body.String()+w.Header().Get("WWW-Authenticate"), tokens.AccessPrefix) {
		t.Error("the token is reflected")
	}
}
