package server

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// gateCall sends a call from an address.
func (ts *testServer) gateCall(address, bearer string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", notionResource, strings.NewReader("{}"))
	r.RemoteAddr = address
	r.Header.Set("Authorization", "Bearer "+bearer)
	w := httptest.NewRecorder()
	if ts.as.Gate(ts.as.cfg.Servers[0], nil).Check(w, r) != nil {
		w.Code = http.StatusTeapot // passed
	}
	return w
}

// C17: who guesses at virtual keys is slowed down and reported, once; right keys
// and tokens pass all the same, also from there.
func TestGuessesAtTheGate_C17(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) {
		c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key")}, identity.Key{Name: "ops", Hash: storage.HashOf("sk-ops")})
	})
	ts.as.deps.Limiter.Now = ts.clock.Now
	token := ts.signedIn().Access
	const attacker, other = "2001:db8:1:2::7", "2001:db9:9:9::7"
	for i := range wrongSecretsPerAddress {
		if w := ts.gateCall(fmt.Sprintf("2001:db8:1:2::%x", i+1), fmt.Sprintf("guess-%d", i)); w.Code != http.StatusUnauthorized {
			t.Fatalf("guess %d: status %d, want 401", i, w.Code)
		}
	}
	for range 5 {
		w := ts.gateCall(attacker, "one-more-guess")
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
			t.Fatalf("status %d, Retry-After %q; want 429 with one", w.Code, w.Header().Get("Retry-After"))
		}
	}
	for name, call := range map[string]struct {
		address, bearer string
		want            int
	}{
		"right key":          {attacker, "sk-ops", http.StatusTeapot},
		"access token":       {attacker, token, http.StatusTeapot},
		"old access token":   {attacker, madeUpToken, http.StatusUnauthorized},
		"no token":           {attacker, "", http.StatusUnauthorized},
		"guess of elsewhere": {other, "guess", http.StatusUnauthorized},
	} {
		if w := ts.gateCall(call.address, call.bearer); w.Code != call.want {
			t.Errorf("%s: status %d, want %d", name, w.Code, call.want)
		}
	}
	ts.wantGuessLines(1, ratelimit.BearerToken, "2001:db8:1:2::/64")
	ts.clock.Advance(2 * time.Minute)
	if w := ts.gateCall(attacker, "guess"); w.Code != http.StatusUnauthorized {
		t.Errorf("after a while: status %d, want 401", w.Code)
	}
}

// wantGuessLines asserts how many lines report guesses, and what the last says.
func (ts *testServer) wantGuessLines(n int, kind, address string) {
	ts.t.Helper()
	lines := ts.logged(event.GuessingSuspected).All()
	if len(lines) != n {
		ts.t.Fatalf("%d lines report guesses, want %d", len(lines), n)
	}
	last := lines[n-1]
	if got := last.ContextMap(); last.Level != zapcore.WarnLevel || got["reason"] != kind || got["address"] != address {
		ts.t.Errorf("reported as %s %v, want a warning of %s from %s", last.Level, got, kind, address)
	}
}

// C17: neither are the tokens around registrations and client secrets guessed
// at without an end, nor unseen.
func TestGuessesElsewhere_C17(t *testing.T) {
	const address = "192.0.2.1:1234" // of httptest
	for name, test := range map[string]struct {
		kind  string
		tries int
		guess func(*testServer, registration) int
		right func(*testServer, registration) int
	}{
		"registration access token": {
			ratelimit.RegistrationToken, wrongSecretsPerAddress,
			func(ts *testServer, reg registration) int {
				reg.Token = "guess"
				status, _ := ts.manage("GET", reg, "")
				return status
			},
			func(ts *testServer, reg registration) int { status, _ := ts.manage("GET", reg, ""); return status },
		},
		"registration access token of nobody": {
			ratelimit.RegistrationToken, wrongSecretsPerAddress,
			func(ts *testServer, reg registration) int {
				reg.URI += "x"
				status, _ := ts.manage("GET", reg, "")
				return status
			},
			func(ts *testServer, reg registration) int { status, _ := ts.manage("GET", reg, ""); return status },
		},
		"client secret at introspection": {
			"client_authentication", authFailuresPerClient,
			func(ts *testServer, _ registration) int {
				return ts.introspectWith("guess")
			},
			func(ts *testServer, _ registration) int { return ts.introspectWith(testSecret) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			ts.as.deps.Limiter.Now = ts.clock.Now
			reg := ts.register(`{"redirect_uris":["https://app.example/cb"]}`)
			for i := range test.tries {
				if got := test.guess(ts, reg); got != http.StatusUnauthorized {
					t.Fatalf("guess %d: status %d, want 401", i, got)
				}
			}
			for range 3 {
				if got := test.guess(ts, reg); got != http.StatusTooManyRequests {
					t.Fatalf("beyond the limit: status %d, want 429", got)
				}
			}
			if got := test.right(ts, reg); got != http.StatusOK {
				t.Errorf("the right one: status %d, want 200", got)
			}
			ts.wantGuessLines(1, test.kind, address)
		})
	}
}

// C17: the same for the token that is needed to register.
func TestGuessesAtTheInitialToken_C17(t *testing.T) {
	right := storage.HashOf("the-right-initial-access-token")
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.TokenHash = &right })
	ts.as.deps.Limiter.Now = ts.clock.Now
	try := func(token string) int {
		return ts.send("POST", RegisterPath, `{"redirect_uris":["https://app.example/cb"]}`, "Content-Type", "application/json", "Authorization", "Bearer "+token).Code
	}
	for i := range wrongSecretsPerAddress {
		if got := try("guess"); got != http.StatusUnauthorized {
			t.Fatalf("guess %d: status %d, want 401", i, got)
		}
	}
	if got := try("guess"); got != http.StatusTooManyRequests {
		t.Errorf("beyond the limit: status %d, want 429", got)
	}
	if got := try("the-right-initial-access-token"); got != http.StatusCreated {
		t.Errorf("the right one: status %d, want 201", got)
	}
}

// introspectWith asks about a token with a secret, and returns the status.
func (ts *testServer) introspectWith(secret string) int {
	credentials := base64.StdEncoding.EncodeToString([]byte("inspector:" + secret))
	return ts.send("POST", introspectPath, "token=x", "Content-Type", "application/x-www-form-urlencoded", "Authorization", "Basic "+credentials).Code
}
