package server

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// needsToken has registration take an initial access token, of which none is
// configured.
func needsToken(c *siteConfig) { c.Registration.InitialAccessToken = config.TokenRequired }

// initialToken makes one while the server runs.
func (ts *testServer) initialToken(name string, expires time.Time, uses int) string {
	ts.t.Helper()
	_, secret, err := ts.as.InitialTokens.Create(ts.t.Context(), name, expires, uses)
	if err != nil {
		ts.t.Fatal(err)
	}
	return secret
}

// registersWith tries to register a client with a token, and returns the status.
func (ts *testServer) registersWith(token string) int {
	ts.t.Helper()
	var headers []string
	if token != "" {
		headers = []string{"Authorization", "Bearer " + token}
	}
	return ts.send(http.MethodPost, RegisterPath, publicClient, headers...).Code
}

// RFC 7591 section 3: who may register is decided while the site runs.
func TestInitialTokensAtRunTime_G21(t *testing.T) {
	ts := newTestServer(t, needsToken)
	want := func(when, token string, status int) {
		t.Helper()
		if got := ts.registersWith(token); got != status {
			t.Errorf("%s: %d, want %d", when, got, status)
		}
	}
	want("without", "", http.StatusUnauthorized)
	want("made up", oauth.NewSecret("mcpit_"), http.StatusUnauthorized)
	partner, twice := ts.initialToken("partner", ts.clock.Now().Add(time.Hour), 0), ts.initialToken("twice", time.Time{}, 2)
	for range 3 {
		want("for any number", partner, http.StatusCreated)
	}
	if got := ts.send(http.MethodPost, RegisterPath, `{"redirect_uris":["javascript:x"]}`, "Authorization", "Bearer "+twice).Code; got != http.StatusBadRequest {
		t.Errorf("metadata that is no good: %d", got)
	}
	want("the first of two", twice, http.StatusCreated)
	want("the second of two", twice, http.StatusCreated)
	want("the third of two", twice, http.StatusUnauthorized)
	lines := ts.logged(event.ClientRegistered).FilterFieldKey("person")
	if n := lines.Len(); n != 5 || lines.All()[0].ContextMap()["person"] != "initial_access_token:partner" {
		t.Errorf("%d lines say with which token a client registered: %v", n, lines.All()[:min(n, 1)])
	}
	other := New(ts.as.cfg, ts.as.deps) // another process on the store
	if err := other.InitialTokens.Delete(t.Context(), "partner"); err != nil {
		t.Fatal(err)
	}
	want("deleted elsewhere", partner, http.StatusUnauthorized)
	soon := ts.initialToken("soon", ts.clock.Now().Add(time.Minute), 0)
	want("before its end", soon, http.StatusCreated)
	ts.clock.Advance(time.Minute)
	want("at its end", soon, http.StatusUnauthorized)
}

// The one of the configuration goes on, beside those that are made.
func TestInitialTokenOfTheConfiguration_G21(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.TokenHash = new(storage.HashOf("configured")) })
	made := ts.initialToken("made", time.Time{}, 1)
	for token, want := range map[string]int{"configured": http.StatusCreated, made: http.StatusCreated, "wrong": http.StatusUnauthorized} {
		if got := ts.registersWith(token); got != want {
			t.Errorf("%s: %d, want %d", token[:5], got, want)
		}
	}
	open := newTestServer(t)
	if got := open.registersWith(""); got != http.StatusCreated {
		t.Errorf("where none is needed: %d", got)
	}
}

// A client that could not be told of its registration has used the token up: better
// than one more than there may be.
func TestInitialTokenStoreFails_G21(t *testing.T) {
	ts := newTestServer(t, needsToken)
	token := ts.initialToken("one", time.Time{}, 1)
	ts.store.failing("CreateClient", func() {
		if got := ts.registersWith(token); got != http.StatusServiceUnavailable {
			t.Errorf("while the store fails: %d", got)
		}
	})
	if got := ts.registersWith(token); got != http.StatusUnauthorized {
		t.Errorf("again: %d", got)
	}
	ts.store.gone(func() {
		if got := ts.registersWith(strings.Replace(token, "mcpit_", "mcpxx_", 1)); got != http.StatusUnauthorized {
			t.Errorf("what cannot be one asks the store: %d", got)
		}
	})
}

// However many register with a token at a time, as many as it is for do.
func TestInitialTokenRace_G21(t *testing.T) {
	ts := newTestServer(t, needsToken)
	token := ts.initialToken("few", time.Time{}, 3)
	var registered atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			switch got := ts.registersWith(token); got {
			case http.StatusCreated:
				registered.Add(1)
			case http.StatusUnauthorized:
			default:
				t.Errorf("status %d", got)
			}
		})
	}
	all.Wait()
	if registered.Load() != 3 {
		t.Errorf("%d registered, want 3", registered.Load())
	}
}
