package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// A client that does not ask for the scope it is told to ask for signs in
// again: the 403 is for those who do.
func TestDisconnectedClientThatDoesNotAsk(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	f.store.Store = memstore.New() // knows no grant, and ends it all the same
	g := f.gate("mcp")
	caller := func(grant, token string) *tokens.Caller {
		return &tokens.Caller{GrantID: grant, ClientID: "client-1", Scope: "mcp:use", TokenHash: storage.HashOf(token)}
	}
	call := func(c *tokens.Caller, revision string, want int) {
		t.Helper()
		w := httptest.NewRecorder()
		g.Disconnected(w, httptest.NewRequest(http.MethodPost, gateIssuer+"/mcp", nil), c, revision)
		code := map[int]string{http.StatusForbidden: "insufficient_scope", http.StatusUnauthorized: "invalid_token"}[want]
		if got := w.Header().Get("WWW-Authenticate"); w.Code != want || !strings.Contains(got, `error="`+code+`"`) {
			t.Errorf("%s of %s: %d %s, want %d", c.TokenHash, c.GrantID, w.Code, got, want)
		}
	}
	first, refreshed := caller("grant-1", "a"), caller("grant-1", "b")

	call(first, "2025-11-25", http.StatusForbidden)
	f.clock.Advance(9 * time.Second)
	call(first, "2025-11-25", http.StatusForbidden) // on its way already
	call(refreshed, "2025-11-25", http.StatusUnauthorized)
	f.clock.Advance(time.Second)
	call(first, "2025-11-25", http.StatusUnauthorized)

	call(caller("grant-2", "a"), "2026-07-28", http.StatusForbidden) // another sign-in begins anew
	f.clock.Advance(24 * time.Hour)
	call(caller("grant-2", "c"), "2026-07-28", http.StatusUnauthorized)

	call(caller("grant-3", "d"), "2025-06-18", http.StatusUnauthorized) // never answered with a scope
	call(caller("grant-3", "d"), "2025-11-25", http.StatusForbidden)
}

// A grant that could not be ended goes on, and nobody is told otherwise.
func TestDisconnectedWithoutTheStore(t *testing.T) {
	store := storetest.NewFaulty(memstore.New())
	ts := newTestServerOn(t, store)
	issued := ts.redeem("app", ts.code(), "redirect_uri", "-")
	ts.want(issued, http.StatusOK, "")
	g := ts.as.Gate(ts.as.cfg.Servers[0], nil)
	r := httptest.NewRequest(http.MethodPost, notionResource, nil)
	r.Header.Set("Authorization", "Bearer "+issued.Access)
	c := g.Check(httptest.NewRecorder(), r)
	if c == nil {
		t.Fatal("the token does not pass")
	}
	store.Fail("RevokeGrant")
	w := httptest.NewRecorder()
	g.Disconnected(w, r, c, "2025-06-18")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if n := ts.logged(event.GrantEnded).Len(); n != 0 {
		t.Error("the log says that the grant ended")
	}
	store.Fail("")
	if g.Check(httptest.NewRecorder(), r) == nil {
		t.Error("the token passes no more")
	}
	w = httptest.NewRecorder()
	g.Disconnected(w, r, c, "2025-06-18")
	if w.Code != http.StatusUnauthorized || g.Check(httptest.NewRecorder(), r) != nil {
		t.Errorf("once more: %d", w.Code)
	}
}
