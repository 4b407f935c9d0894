package oauthtest_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// A person with an account at the provider gets a token, which the MCP server
// knows them by.
func TestProviderAndMCPServer(t *testing.T) {
	provider := oauthtest.NewProvider(t)
	server := oauthtest.NewMCPServer(t, provider)
	back := oauthtest.Visit(t, provider.URL+oauthtest.AuthorizePath+"?state=s&redirect_uri="+url.QueryEscape("https://gate.example/back"), "alice")
	if got := back.Host + back.Path + " " + back.Query().Get("state"); got != "gate.example/back s" {
		t.Fatalf("the browser is sent to %s, want %s", got, "gate.example/back s")
	}
	tokens := func(form url.Values, want int) {
		t.Helper()
		res, err := http.PostForm(provider.URL+oauthtest.TokenPath, form)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("token request %v: status %d, want %d", form, res.StatusCode, want)
		}
	}
	call := func(token string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+oauthtest.MCPPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("call with %s: status %d, want %d", token, res.StatusCode, want)
		}
	}
	code := url.Values{"grant_type": {"authorization_code"}, "code": back.Query()["code"]}
	refresh := func(token string) url.Values {
		return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	}
	tokens(code, http.StatusOK)
	tokens(code, http.StatusBadRequest) // a code works once
	call("at-1", http.StatusOK)
	tokens(refresh("rt-1"), http.StatusOK)
	call("at-2", http.StatusOK)
	tokens(refresh("rt-1"), http.StatusBadRequest) // so does a refresh token
	if got := provider.ReusedEarly(); len(got) != 1 || got[0] != "rt-1" {
		t.Errorf("reused %q, want rt-1", got)
	}
	provider.Fail(oauthtest.LostAfter)
	if _, err := http.PostForm(provider.URL+oauthtest.TokenPath, refresh("rt-2")); err == nil {
		t.Error("error nil, want that of an answer that was lost")
	}
	call("at-3", http.StatusOK)
	provider.ExpireAll()
	call("at-3", http.StatusUnauthorized)
	if got, want := server.Accounts(), 4; len(got) != want || got[0] != "alice" || got[3] != "" {
		t.Errorf("the server saw %q, want alice three times, and then nobody", got)
	}
}
