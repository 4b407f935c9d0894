package server

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// storedKey is a virtual key that was made while the site runs.
func storedKey(name, secret string) identity.Key {
	return identity.Key{Name: name, Hash: storage.HashOf(secret), Stored: true, Use: new(identity.LastUse)}
}

// A key in the store passes for as long as it is there and was seen there lately,
// without a read of the store and without memory; its use is noted.
func TestStoredKeyAtTheGate(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	keys, g := f.as.cfg.Keys, f.gate("mcp")
	const secret = "sk-stored"
	check := func(want int) *tokens.Caller {
		t.Helper()
		c, w := call(g, "POST", mcpURL, authHeader, "Bearer "+secret)
		if c != nil {
			w.Code = http.StatusOK
		}
		if w.Code != want {
			t.Errorf("status %d, want %d: %s", w.Code, want, w.Body)
		}
		return c
	}
	check(http.StatusUnauthorized)
	if c, _ := call(g, "POST", mcpURL, authHeader, "Bearer "+tokens.NewVirtualKey()); c != nil || f.store.reads != 0 {
		t.Errorf("a guess got %+v, for %d reads of the store", c, f.store.reads)
	}
	key := storedKey("alice", secret)
	key.ExpiresAt = f.clock.Now().Add(time.Minute)
	keys.Replace([]identity.Key{key})
	check(http.StatusServiceUnavailable) // nobody has looked at the store yet
	if at := key.Use.At(); !at.IsZero() {
		t.Errorf("used at %v, want never", at)
	}
	keys.Confirm(f.clock.Now())
	reads := f.store.reads
	caller := check(http.StatusOK)
	if caller == nil || caller.Identity.Subject != "virtual_key:alice" || caller.GrantID != "vk:alice" || !g.Recheck(caller) {
		t.Fatalf("%+v", caller)
	}
	r := httptest.NewRequest("POST", mcpURL, nil)
	r.Header.Set(authHeader, "Bearer "+secret)
	w := httptest.NewRecorder()
	if n := testing.AllocsPerRun(100, func() { g.Check(w, r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if f.store.reads != reads {
		t.Errorf("%d reads of the store", f.store.reads-reads)
	}
	if at, noted := key.Use.Take(); !noted || !at.Equal(f.clock.Now()) {
		t.Errorf("used at %v, want %v", at, f.clock.Now())
	}
	f.clock.Advance(15 * time.Second)
	check(http.StatusServiceUnavailable)
	if g.Recheck(caller) {
		t.Error("a stream goes on with a key that nobody has seen for a while")
	}
	f.clock.Advance(44 * time.Second)
	keys.Confirm(f.clock.Now())
	check(http.StatusOK)
	f.clock.Advance(time.Second)
	check(http.StatusUnauthorized)
	if g.Recheck(caller) {
		t.Error("a stream goes on with a key that has expired")
	}

	key.ExpiresAt = time.Time{}
	keys.Replace([]identity.Key{key})
	check(http.StatusOK)
	narrowed := key
	narrowed.Servers = []string{"notion"}
	keys.Replace([]identity.Key{narrowed})
	check(http.StatusUnauthorized)
	other := storedKey("alice", "another")
	keys.Replace([]identity.Key{other})
	check(http.StatusUnauthorized)
	if g.Recheck(caller) {
		t.Error("a stream goes on with a key that was replaced")
	}
}

// Keys change while calls come: each call is judged by keys that there were.
func TestKeysChangeWhileCallsCome(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g := f.gate("mcp")
	f.as.cfg.Keys.Confirm(f.clock.Now())
	var calls sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		calls.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if c, w := call(g, "POST", mcpURL, authHeader, "Bearer sk-one"); c == nil && w.Code != http.StatusUnauthorized && w.Code != http.StatusTooManyRequests {
					t.Errorf("status %d", w.Code)
					return
				} else if c != nil && c.Identity.Name != "one" {
					t.Errorf("%+v", c)
					return
				}
			}
		})
	}
	for i := range 2000 {
		keys := []identity.Key{storedKey("two", "sk-two")}
		if i%2 == 0 {
			keys = append(keys, storedKey("one", "sk-one"))
		}
		f.as.cfg.Keys.Replace(keys)
	}
	close(done)
	calls.Wait()
}

// C17: what has the form of our keys, or of other sites' tokens, is counted as any
// other guess, and costs the store nothing. A right one passes.
func TestGuessesAtStoredKeys_C17(t *testing.T) {
	ts := newTestServer(t, func(*siteConfig) {})
	ts.as.deps.Limiter.Now = ts.clock.Now
	right := tokens.NewVirtualKey()
	ts.as.cfg.Keys.Replace([]identity.Key{storedKey("alice", right)})
	ts.as.cfg.Keys.Confirm(ts.clock.Now())
	const address = "203.0.113.9"
	forms := map[string]func() string{
		"key": tokens.NewVirtualKey, "mistyped key": func() string { return right[:len(right)-1] + "!" }, "text": func() string { return "guess" },
		"another's": func() string { return "ghp_0123456789abcdefghijklmnopqrstuvwxyz" }, "prefix": func() string { return tokens.VirtualKeyPrefix },
		"refresh token": func() string { return tokens.RefreshPrefix + "x" },
	}
	sent := 0
	for sent < wrongSecretsPerAddress {
		for name, form := range forms {
			want := http.StatusUnauthorized
			if sent++; sent > wrongSecretsPerAddress {
				want = http.StatusTooManyRequests
			}
			if w := ts.gateCall(address, form()); w.Code != want {
				t.Fatalf("%s, guess %d: status %d, want %d", name, sent, w.Code, want)
			}
		}
	}
	for name, form := range forms {
		w := ts.gateCall(address, form())
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: status %d, Retry-After %q; want 429 with one", name, w.Code, w.Header().Get("Retry-After"))
		}
	}
	if w := ts.gateCall(address, right); w.Code != http.StatusTeapot {
		t.Errorf("the right key: status %d", w.Code)
	}
	ts.wantGuessLines(1, ratelimit.BearerToken, address)
}

// A token is judged anew once keys change, though it was just believed: what its
// person signed in with may be gone.
func TestTokenOfAWithdrawnKey(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g := f.gate("mcp")
	key := storedKey("alice", "sk-alice")
	f.as.cfg.Keys.Replace([]identity.Key{key})
	token := f.issue(func(a *storage.AccessToken) { a.Identity = key.Identity() })
	passes := func(want bool) {
		t.Helper()
		if c, w := call(g, "POST", mcpURL, authHeader, "Bearer "+token); (c != nil) != want {
			t.Errorf("passes: %t, want %t: %s", c != nil, want, w.Body)
		}
	}
	passes(true)
	passes(true)
	reads := f.store.reads
	f.as.cfg.Keys.Replace(nil)
	passes(false)
	f.as.cfg.Keys.Replace([]identity.Key{key})
	passes(true)
	withdrawn := key
	withdrawn.Withdrawn++
	f.as.cfg.Keys.Replace([]identity.Key{withdrawn})
	passes(false)
	if f.store.reads != reads {
		t.Errorf("%d reads of the store", f.store.reads-reads)
	}
}
