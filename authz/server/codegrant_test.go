package server

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestVerifier_B04_B05_B07_B14_AS61(t *testing.T) {
	tests := []struct {
		name, verifier, code string
		burned               bool
	}{
		{"none", "-", "invalid_grant", true},
		{"empty", "", "invalid_grant", true},
		{"wrong", strings.Repeat("w", 43), "invalid_grant", true},
		{"the challenge itself", oauth.CodeChallenge(testVerifier), "invalid_grant", true},
		{"42 characters", strings.Repeat("a", 42), "invalid_request", false},
		{"129 characters", strings.Repeat("a", 129), "invalid_request", false},
		{"space", strings.Repeat("a", 42) + " ", "invalid_request", false},
		{"plus", strings.Repeat("a", 42) + "+", "invalid_request", false},
		{"UTF-8", strings.Repeat("é", 43), "invalid_request", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			code := ts.code()
			ts.want(ts.redeem("app", code, "code_verifier", tt.verifier), http.StatusBadRequest, tt.code)
			if tt.burned {
				ts.want(ts.redeem("app", code), http.StatusBadRequest, "invalid_grant")
				ts.want(ts.redeem("app", code, "code_verifier", "-"), http.StatusBadRequest, "invalid_grant")
				return
			}
			ts.want(ts.redeem("app", code), http.StatusOK, "")
		})
	}
}

// A record without a challenge cannot come about; should it, nothing opens it.
func TestCodeWithoutChallenge_B06(t *testing.T) {
	for _, verifier := range []string{"-", testVerifier} {
		ts := newTestServer(t)
		f := ts.identified(request(), alice)
		f.Challenge = ""
		target, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}})
		if err != nil {
			t.Fatal(err)
		}
		code := answer(t, target).Get("code")
		ts.want(ts.redeem("app", code, "code_verifier", verifier), http.StatusBadRequest, "invalid_grant")
	}
}

func TestCodeReplay_B08_B16_AS48(t *testing.T) {
	ts := newTestServer(t)
	code := ts.code()
	first := ts.redeem("app", code)
	if !ts.live(first.Access) {
		t.Fatal("the token does not work")
	}
	ts.want(ts.redeem("app", code), http.StatusBadRequest, "invalid_grant")
	if ts.live(first.Access) {
		t.Error("the access token outlives the replay")
	}
	ts.want(ts.refresh("app", first.Refresh), http.StatusBadRequest, "invalid_grant")
	if ts.logged(event.TokenReuseDetected).FilterField(zap.String("reason", "authorization_code")).Len() != 1 {
		t.Error("the replay is not logged")
	}
}

// A replay by somebody who cannot prove to be the client ends nothing.
func TestCodeReplayWithoutProof_AS48(t *testing.T) {
	for name, replay := range map[string]func(*testServer, string) reply{
		"foreign client": func(ts *testServer, code string) reply { return ts.redeem("foreign", code) },
		"wrong verifier": func(ts *testServer, code string) reply {
			return ts.redeem("app", code, "code_verifier", strings.Repeat("w", 43))
		},
		"no verifier": func(ts *testServer, code string) reply { return ts.redeem("app", code, "code_verifier", "-") },
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			code := ts.code()
			first := ts.redeem("app", code)
			ts.want(replay(ts, code), http.StatusBadRequest, "invalid_grant")
			if !ts.live(first.Access) {
				t.Error("the access token was revoked")
			}
		})
	}
}

// The client reads the same whatever is wrong with a code; the log says what it is.
func TestWhyACodeIsRefused(t *testing.T) {
	for reason, redeem := range map[string]func(*testServer, string) reply{
		"wrong_verifier": func(ts *testServer, code string) reply {
			return ts.redeem("app", code, "code_verifier", strings.Repeat("w", 43))
		},
		"redirect_uri_differs": func(ts *testServer, code string) reply {
			return ts.redeem("app", code, "redirect_uri", testRedirect+"/")
		},
		"code_ended": func(ts *testServer, code string) reply {
			ts.clock.Advance(time.Hour)
			return ts.redeem("app", code)
		},
	} {
		t.Run(reason, func(t *testing.T) {
			ts := newTestServer(t)
			ts.want(redeem(ts, ts.code()), http.StatusBadRequest, "invalid_grant")
			if got := ts.logged(event.TokenRefused).FilterField(zap.String("reason", reason)).Len(); got != 1 {
				t.Errorf("got %d lines with this reason, want 1: %v", got, ts.logged(event.TokenRefused).All())
			}
		})
	}
}

func TestCodeOfAnotherClient_B10(t *testing.T) {
	ts := newTestServer(t)
	code := ts.code()
	before := ts.store.writes.Load()
	ts.want(ts.redeem("foreign", code), http.StatusBadRequest, "invalid_grant")
	if n := ts.store.writes.Load() - before; n != 0 {
		t.Errorf("%d writes", n)
	}
	if ts.logged(event.TokenMisused).Len() != 1 {
		t.Error("it is not logged")
	}
	ts.want(ts.redeem("app", code), http.StatusOK, "")
}

func TestRedirectURIAtToken_A01_B11_AS62(t *testing.T) {
	for _, uri := range []string{"https://app.example/other?keep=1", testRedirect + "/", "https://APP.example/cb"} {
		ts := newTestServer(t)
		code := ts.code()
		ts.want(ts.redeem("app", code, "redirect_uri", uri), http.StatusBadRequest, "invalid_grant")
		ts.want(ts.redeem("app", code), http.StatusOK, "")
	}
	ts := newTestServer(t)
	code := ts.approved(request("client_id", "native", "redirect_uri", "http://127.0.0.1:5000/cb"), alice).Get("code")
	ts.want(ts.redeem("native", code, "redirect_uri", "http://127.0.0.1:5001/cb"), http.StatusBadRequest, "invalid_grant")
	ts.want(ts.redeem("native", code, "redirect_uri", "http://127.0.0.1:5000/cb"), http.StatusOK, "")
}

func TestCodeExpires_B12(t *testing.T) {
	ts := newTestServer(t)
	in, out := ts.code(), ts.code()
	ts.clock.Advance(59 * time.Second)
	ts.want(ts.redeem("app", in), http.StatusOK, "")
	ts.clock.Advance(2 * time.Second)
	ts.want(ts.redeem("app", out), http.StatusBadRequest, "invalid_grant")
}

// Whatever is wrong with a code, the answer is the same.
func TestNoOracle_B13(t *testing.T) {
	ts := newTestServer(t)
	used, expired, foreign, burned := ts.code(), ts.code(), ts.code(), ts.code()
	ts.redeem("app", used)
	ts.redeem("app", burned, "code_verifier", "-")
	ts.clock.Advance(61 * time.Second)
	fresh := ts.code()
	codes := map[string]string{
		"unknown": oauth.NewSecret(tokens.CodePrefix), "no code at all": "x", "expired": expired, "used": used, "foreign": foreign, "burned": burned,
		"cut": fresh[:len(fresh)-1], "other case": tokens.CodePrefix + strings.ToUpper(fresh[len(tokens.CodePrefix):]),
	}
	want := ""
	for name, code := range codes {
		client := "app"
		if name == "foreign" {
			client = "foreign"
		}
		got := ts.redeem(client, code)
		body, _, _ := strings.Cut(got.body, `,"correlation_id"`)
		if want == "" {
			want = body
		}
		if got.status != http.StatusBadRequest || body != want {
			t.Errorf("%s: %d %s, want %s", name, got.status, body, want)
		}
	}
}

func TestCommitFails_B15(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		ts := newTestServer(t)
		code := ts.code()
		ts.store.failing("ClaimCode", func() {
			ts.want(ts.redeem("app", code), http.StatusServiceUnavailable, "temporarily_unavailable")
		})
		ts.want(ts.redeem("app", code), http.StatusOK, "")
	})
	t.Run("after", func(t *testing.T) {
		ts := newTestServer(t)
		code := ts.code()
		ts.store.losing("ClaimCode", func() {
			ts.want(ts.redeem("app", code), http.StatusServiceUnavailable, "temporarily_unavailable")
		})
		ts.want(ts.redeem("app", code), http.StatusBadRequest, "invalid_grant")
	})
}

func TestApprovalWithdrawnBeforeRedemption_B17(t *testing.T) {
	for name, change := range map[string]func(*siteConfig){
		"key withdrawn":        func(c *siteConfig) { c.Keys = nil },
		"kind not in use":      func(c *siteConfig) { c.SignIn = c.SignIn[1:] },
		"server taken from it": func(c *siteConfig) { c.Keys = keyOfTeam("main") },
		"server gone":          func(c *siteConfig) { c.Servers = c.Servers[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			code := ts.approved(request(), keyIdentity("team")).Get("code")
			ts.reload(change)
			ts.want(ts.redeem("app", code), http.StatusBadRequest, "invalid_grant")
		})
	}
	t.Run("grant revoked", func(t *testing.T) {
		ts := newTestServer(t)
		code := ts.code()
		record, err := ts.store.Code(t.Context(), storage.HashOf(code), ts.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := ts.as.Grants.Revoke(t.Context(), event.Event{Grant: record.GrantID}); err != nil {
			t.Fatal(err)
		}
		ts.want(ts.redeem("app", code), http.StatusBadRequest, "invalid_grant")
	})
}

func TestWrongKindOfSecret_B18(t *testing.T) {
	ts := newTestServer(t)
	code, issued := ts.code(), ts.signedIn()
	for _, secret := range []string{code, issued.Access, tokens.RefreshPrefix + code[len(tokens.CodePrefix):]} {
		ts.want(ts.refresh("app", secret), http.StatusBadRequest, "invalid_grant")
	}
	for _, secret := range []string{issued.Access, issued.Refresh, tokens.CodePrefix + issued.Refresh[len(tokens.RefreshPrefix):]} {
		ts.want(ts.redeem("app", secret), http.StatusBadRequest, "invalid_grant")
	}
	for _, secret := range []string{code, issued.Refresh} {
		if ts.live(secret) {
			t.Errorf("%s works as an access token", secret[:6])
		}
	}
	ts.store.failing("*", func() { // what cannot be one is not even looked up
		ts.want(ts.refresh("app", code), http.StatusBadRequest, "invalid_grant")
		ts.want(ts.redeem("app", issued.Refresh), http.StatusBadRequest, "invalid_grant")
	})
	ts.want(ts.redeem("app", code), http.StatusOK, "")
	ts.want(ts.refresh("app", issued.Refresh), http.StatusOK, "")
}

func TestResourceAtToken_AS49_F04_F05(t *testing.T) {
	tests := []struct {
		name      string
		requested []string // at authorize
		asked     []string // at token
		audience  []string // nil: invalid_target
	}{
		{"one, named again", []string{notionResource}, []string{notionResource}, []string{notionResource}},
		{"one, other spelling", []string{notionResource}, []string{"HTTPS://mcp.EXAMPLE.com/mcp/notion/"}, []string{notionResource}},
		{"one, not named again", []string{notionResource}, nil, []string{notionResource}},
		{"one, another named", []string{notionResource}, []string{mainResource}, nil},
		{"one, unknown named", []string{notionResource}, []string{"https://other.example"}, nil},
		{"several, one named", []string{notionResource, mainResource}, []string{mainResource}, []string{mainResource}},
		{"several, both named", []string{notionResource, mainResource}, []string{notionResource, mainResource}, nil},
		{"several, none named", []string{notionResource, mainResource}, nil, nil},
		{"never any", nil, nil, []string{notionResource, mainResource}},
		{"only at the token endpoint", nil, []string{mainResource}, []string{mainResource}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			ask := request("resource", "-")
			ask["resource"] = tt.requested
			code := ts.approved(ask, alice).Get("code")
			form := redemption(code)
			form["resource"] = tt.asked
			got := ts.post(TokenPath, "app", form)
			if tt.audience == nil {
				ts.want(got, http.StatusBadRequest, "invalid_target")
				ts.want(ts.redeem("app", code, "resource", ask.Get("resource")), http.StatusOK, "")
				return
			}
			ts.want(got, http.StatusOK, "")
			token, err := ts.store.AccessToken(t.Context(), storage.HashOf(got.Access), ts.clock.Now())
			if err != nil || !slices.Equal(token.Audience, tt.audience) {
				t.Errorf("audience = %q, %v, want %q", token.Audience, err, tt.audience)
			}
		})
	}
}

// A token carries the part of the scope that means something to its audience.
func TestScopeOfOneAudience_AS65(t *testing.T) {
	ts := newTestServer(t)
	code := ts.approved(request("resource", "-", "scope", "mcp:use notion:admin"), alice).Get("code")
	main := ts.redeem("app", code, "resource", mainResource)
	if main.Scope != "mcp:use" {
		t.Errorf("scope = %q", main.Scope)
	}
	if notion := ts.refresh("app", main.Refresh, "resource", notionResource); notion.Scope != "mcp:use notion:admin" {
		t.Errorf("scope = %q", notion.Scope)
	}
}

func TestConcurrentRedemption_B09(t *testing.T) {
	for name, store := range testStores(t) {
		t.Run(name, func(t *testing.T) {
			ts := newTestServerOn(t, store)
			for range 200 {
				code := ts.code()
				won := ts.race(64, func() reply { return ts.redeem("app", code) })
				if len(won) != 1 {
					t.Fatalf("%d winners", len(won))
				}
				if ts.live(won[0].Access) {
					t.Fatal("the family outlives the replay")
				}
			}
		})
	}
}

// race runs n requests at once and returns the answers of those that succeeded.
func (ts *testServer) race(n int, do func() reply) []reply {
	var wg sync.WaitGroup
	answers := make([]reply, n)
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			answers[i] = do()
		})
	}
	close(start)
	wg.Wait()
	return slices.DeleteFunc(answers, func(r reply) bool { return r.status != http.StatusOK })
}

// A replay of a code whose grant had ended revokes nothing, and the log does not
// say that it did.
func TestReplayAfterTheGrantEnded(t *testing.T) {
	ts := newTestServer(t)
	code := ts.code()
	ts.want(ts.redeem("app", code), http.StatusOK, "")
	for range 3 {
		ts.want(ts.redeem("app", code), http.StatusBadRequest, "invalid_grant")
	}
	ended := func() int {
		return ts.logged(event.TokenReuseDetected).FilterField(zap.String("detail", "grant revoked")).Len()
	}
	if got := ended(); got != 1 {
		t.Errorf("%d log lines say that the grant was revoked", got)
	}
	recordReuse(t.Context(), ts.as.deps.Events, "authorization_code", "app", nil) // two replays at once: one of them revoked it
	if got := ended(); got != 1 {
		t.Error("a log line says that nothing was revoked")
	}
}
