package server

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
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
		{"the challenge itself", oauth.CodeChallenge(labVerifier), "invalid_grant", true},
		{"42 characters", strings.Repeat("a", 42), "invalid_request", false},
		{"129 characters", strings.Repeat("a", 129), "invalid_request", false},
		{"space", strings.Repeat("a", 42) + " ", "invalid_request", false},
		{"plus", strings.Repeat("a", 42) + "+", "invalid_request", false},
		{"UTF-8", strings.Repeat("é", 43), "invalid_request", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			code := l.code()
			l.want(l.redeem("app", code, "code_verifier", tt.verifier), http.StatusBadRequest, tt.code)
			if tt.burned {
				l.want(l.redeem("app", code), http.StatusBadRequest, "invalid_grant")
				l.want(l.redeem("app", code, "code_verifier", "-"), http.StatusBadRequest, "invalid_grant")
				return
			}
			l.want(l.redeem("app", code), http.StatusOK, "")
		})
	}
}

// A record without a challenge cannot come about; should it, nothing opens it.
func TestCodeWithoutChallenge_B06(t *testing.T) {
	for _, verifier := range []string{"-", labVerifier} {
		l := newLab(t)
		f := l.identified(request(), alice)
		f.Challenge = ""
		target, err := l.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{labNotion}})
		if err != nil {
			t.Fatal(err)
		}
		code := answer(t, target).Get("code")
		l.want(l.redeem("app", code, "code_verifier", verifier), http.StatusBadRequest, "invalid_grant")
	}
}

func TestCodeReplay_B08_B16_AS48(t *testing.T) {
	l := newLab(t)
	code := l.code()
	first := l.redeem("app", code)
	if !l.live(first.Access) {
		t.Fatal("the token does not work")
	}
	l.want(l.redeem("app", code), http.StatusBadRequest, "invalid_grant")
	if l.live(first.Access) {
		t.Error("the access token outlives the replay")
	}
	l.want(l.refresh("app", first.Refresh), http.StatusBadRequest, "invalid_grant")
	if l.logs.FilterMessageSnippet("authorization code reuse detected; grant revoked").Len() != 1 {
		t.Error("the replay is not logged")
	}
}

// A replay by somebody who cannot prove to be the client ends nothing.
func TestCodeReplayWithoutProof_AS48(t *testing.T) {
	for name, replay := range map[string]func(*lab, string) reply{
		"foreign client": func(l *lab, code string) reply { return l.redeem("foreign", code) },
		"wrong verifier": func(l *lab, code string) reply {
			return l.redeem("app", code, "code_verifier", strings.Repeat("w", 43))
		},
		"no verifier": func(l *lab, code string) reply { return l.redeem("app", code, "code_verifier", "-") },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			code := l.code()
			first := l.redeem("app", code)
			l.want(replay(l, code), http.StatusBadRequest, "invalid_grant")
			if !l.live(first.Access) {
				t.Error("the access token was revoked")
			}
		})
	}
}

func TestCodeOfAnotherClient_B10(t *testing.T) {
	l := newLab(t)
	code := l.code()
	before := l.store.writes.Load()
	l.want(l.redeem("foreign", code), http.StatusBadRequest, "invalid_grant")
	if n := l.store.writes.Load() - before; n != 0 {
		t.Errorf("%d writes", n)
	}
	if l.logs.FilterMessageSnippet("code presented by another client").Len() != 1 {
		t.Error("it is not logged")
	}
	l.want(l.redeem("app", code), http.StatusOK, "")
}

func TestRedirectURIAtToken_A01_B11_AS62(t *testing.T) {
	for _, uri := range []string{"https://app.example/other?keep=1", labRedirect + "/", "https://APP.example/cb"} {
		l := newLab(t)
		code := l.code()
		l.want(l.redeem("app", code, "redirect_uri", uri), http.StatusBadRequest, "invalid_grant")
		l.want(l.redeem("app", code), http.StatusOK, "")
	}
	l := newLab(t)
	code := l.approved(request("client_id", "native", "redirect_uri", "http://127.0.0.1:5000/cb"), alice).Get("code")
	l.want(l.redeem("native", code, "redirect_uri", "http://127.0.0.1:5001/cb"), http.StatusBadRequest, "invalid_grant")
	l.want(l.redeem("native", code, "redirect_uri", "http://127.0.0.1:5000/cb"), http.StatusOK, "")
}

func TestCodeExpires_B12(t *testing.T) {
	l := newLab(t)
	in, out := l.code(), l.code()
	l.advance(59 * time.Second)
	l.want(l.redeem("app", in), http.StatusOK, "")
	l.advance(2 * time.Second)
	l.want(l.redeem("app", out), http.StatusBadRequest, "invalid_grant")
}

// Whatever is wrong with a code, the answer is the same.
func TestNoOracle_B13(t *testing.T) {
	l := newLab(t)
	used, expired, foreign, burned := l.code(), l.code(), l.code(), l.code()
	l.redeem("app", used)
	l.redeem("app", burned, "code_verifier", "-")
	l.advance(61 * time.Second)
	fresh := l.code()
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
		got := l.redeem(client, code)
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
		l := newLab(t)
		code := l.code()
		l.store.failing("ClaimCode", func() {
			l.want(l.redeem("app", code), http.StatusServiceUnavailable, "temporarily_unavailable")
		})
		l.want(l.redeem("app", code), http.StatusOK, "")
	})
	t.Run("after", func(t *testing.T) {
		l := newLab(t)
		code := l.code()
		l.store.losing("ClaimCode", func() {
			l.want(l.redeem("app", code), http.StatusServiceUnavailable, "temporarily_unavailable")
		})
		l.want(l.redeem("app", code), http.StatusBadRequest, "invalid_grant")
	})
}

func TestApprovalWithdrawnBeforeRedemption_B17(t *testing.T) {
	for name, change := range map[string]func(*labSite){
		"key withdrawn":        func(c *labSite) { c.Keys = nil },
		"kind not in use":      func(c *labSite) { c.SignIn = c.SignIn[1:] },
		"server taken from it": func(c *labSite) { c.Keys = labKeys("main") },
		"server gone":          func(c *labSite) { c.Servers = c.Servers[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			code := l.approved(request(), keyIdentity("team")).Get("code")
			l.reload(change)
			l.want(l.redeem("app", code), http.StatusBadRequest, "invalid_grant")
		})
	}
	t.Run("grant revoked", func(t *testing.T) {
		l := newLab(t)
		code := l.code()
		record, err := l.store.Code(t.Context(), storage.HashOf(code), l.time())
		if err != nil {
			t.Fatal(err)
		}
		if err := l.as.Grants.Revoke(t.Context(), record.GrantID); err != nil {
			t.Fatal(err)
		}
		l.want(l.redeem("app", code), http.StatusBadRequest, "invalid_grant")
	})
}

func TestWrongKindOfSecret_B18(t *testing.T) {
	l := newLab(t)
	code, issued := l.code(), l.signedIn()
	for _, secret := range []string{code, issued.Access, tokens.RefreshPrefix + code[len(tokens.CodePrefix):]} {
		l.want(l.refresh("app", secret), http.StatusBadRequest, "invalid_grant")
	}
	for _, secret := range []string{issued.Access, issued.Refresh, tokens.CodePrefix + issued.Refresh[len(tokens.RefreshPrefix):]} {
		l.want(l.redeem("app", secret), http.StatusBadRequest, "invalid_grant")
	}
	for _, secret := range []string{code, issued.Refresh} {
		if l.live(secret) {
			t.Errorf("%s works as an access token", secret[:6])
		}
	}
	l.store.failing("*", func() { // what cannot be one is not even looked up
		l.want(l.refresh("app", code), http.StatusBadRequest, "invalid_grant")
		l.want(l.redeem("app", issued.Refresh), http.StatusBadRequest, "invalid_grant")
	})
	l.want(l.redeem("app", code), http.StatusOK, "")
	l.want(l.refresh("app", issued.Refresh), http.StatusOK, "")
}

func TestResourceAtToken_AS49_F04_F05(t *testing.T) {
	tests := []struct {
		name      string
		requested []string // at authorize
		asked     []string // at token
		audience  []string // nil: invalid_target
	}{
		{"one, named again", []string{labNotion}, []string{labNotion}, []string{labNotion}},
		{"one, other spelling", []string{labNotion}, []string{"HTTPS://mcp.EXAMPLE.com/mcp/notion/"}, []string{labNotion}},
		{"one, not named again", []string{labNotion}, nil, []string{labNotion}},
		{"one, another named", []string{labNotion}, []string{labMain}, nil},
		{"one, unknown named", []string{labNotion}, []string{"https://other.example"}, nil},
		{"several, one named", []string{labNotion, labMain}, []string{labMain}, []string{labMain}},
		{"several, both named", []string{labNotion, labMain}, []string{labNotion, labMain}, nil},
		{"several, none named", []string{labNotion, labMain}, nil, nil},
		{"never any", nil, nil, []string{labNotion, labMain}},
		{"only at the token endpoint", nil, []string{labMain}, []string{labMain}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			ask := request("resource", "-")
			ask["resource"] = tt.requested
			code := l.approved(ask, alice).Get("code")
			form := redemption(code)
			form["resource"] = tt.asked
			got := l.post(TokenPath, "app", form)
			if tt.audience == nil {
				l.want(got, http.StatusBadRequest, "invalid_target")
				l.want(l.redeem("app", code, "resource", ask.Get("resource")), http.StatusOK, "")
				return
			}
			l.want(got, http.StatusOK, "")
			token, err := l.store.AccessToken(t.Context(), storage.HashOf(got.Access), l.time())
			if err != nil || !slices.Equal(token.Audience, tt.audience) {
				t.Errorf("audience = %q, %v, want %q", token.Audience, err, tt.audience)
			}
		})
	}
}

// A token carries the part of the scope that means something to its audience.
func TestScopeOfOneAudience_AS65(t *testing.T) {
	l := newLab(t)
	code := l.approved(request("resource", "-", "scope", "mcp:use notion:admin"), alice).Get("code")
	main := l.redeem("app", code, "resource", labMain)
	if main.Scope != "mcp:use" {
		t.Errorf("scope = %q", main.Scope)
	}
	if notion := l.refresh("app", main.Refresh, "resource", labNotion); notion.Scope != "mcp:use notion:admin" {
		t.Errorf("scope = %q", notion.Scope)
	}
}

func TestConcurrentRedemption_B09(t *testing.T) {
	for name, store := range labStores(t) {
		t.Run(name, func(t *testing.T) {
			l := newLabOn(t, store)
			for range 200 {
				code := l.code()
				won := l.race(64, func() reply { return l.redeem("app", code) })
				if len(won) != 1 {
					t.Fatalf("%d winners", len(won))
				}
				if l.live(won[0].Access) {
					t.Fatal("the family outlives the replay")
				}
			}
		})
	}
}

// race runs n requests at once and returns the answers of those that succeeded.
func (l *lab) race(n int, do func() reply) []reply {
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
	l := newLab(t)
	code := l.code()
	l.want(l.redeem("app", code), http.StatusOK, "")
	for range 3 {
		l.want(l.redeem("app", code), http.StatusBadRequest, "invalid_grant")
	}
	if got := l.logs.FilterMessageSnippet("grant revoked").Len(); got != 1 {
		t.Errorf("%d log lines say that the grant was revoked", got)
	}
	logReuse(l.as.log, "authorization code", "app", nil) // two replays at once: one of them revoked it
	if got := l.logs.FilterMessageSnippet("grant revoked").Len(); got != 1 {
		t.Error("a log line says that nothing was revoked")
	}
}
