package consent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// provider is the authorization server of Notion, which agrees to whatever a
// person asks, and GitHub, which knows one key.
type provider struct {
	*httptest.Server
	mu      sync.Mutex
	tokens  int
	revoked []string
	// exchanging is called while a code is exchanged, unless nil.
	exchanging func()
}

const goodKey = "ghp_good"

func newProvider(t *testing.T) *provider {
	p := &provider{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("POST /revoke", func(_ http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.revoked = append(p.revoked, r.FormValue("token"))
	})
	mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+goodKey {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	if p.exchanging != nil {
		p.exchanging()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens++
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": fmt.Sprintf("%s-%d", r.FormValue("code"), p.tokens), "token_type": "Bearer", "expires_in": 3600,
	})
}

// servers returns Notion, which is required, and GitHub, which is not.
func (p *provider) servers() []*config.Server {
	return []*config.Server{
		{ID: "notion", Upstream: p.URL + "/mcp", Auth: &config.Auth{
			Mode: config.PerUserOAuth, Scopes: []string{"pages.read"},
			ClientID: "gateway", AuthorizationEndpoint: p.URL + "/authorize", TokenEndpoint: p.URL + "/token",
			RevocationEndpoint: p.URL + "/revoke",
		}},
		{ID: "github", Upstream: p.URL + "/mcp", Auth: &config.Auth{
			Mode: config.PerUserHeaders, Optional: true, VerifyURL: p.URL + "/whoami",
			Headers: []config.AuthHeader{{Name: "Authorization", Prefix: "Bearer "}},
		}},
	}
}

// agree is what the provider answers a browser that was sent there, with code
// as the code: an address of ours.
func agree(t *testing.T, sent *httptest.ResponseRecorder, code string) string {
	t.Helper()
	mustAnswer(t, sent, http.StatusSeeOther)
	u, err := url.Parse(sent.Header().Get("Location"))
	if err != nil || u.Path != "/authorize" {
		t.Fatalf("sent to %q, %v", sent.Header().Get("Location"), err)
	}
	back, err := url.Parse(u.Query().Get("redirect_uri"))
	if err != nil {
		t.Fatal(err)
	}
	return back.Path + "?" + url.Values{"state": {u.Query().Get("state")}, "code": {code}}.Encode()
}
