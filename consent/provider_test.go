package consent

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const goodKey = "ghp_good"

// newProvider returns the provider of Notion, which agrees to whatever a person
// asks, and GitHub, which knows one key.
func newProvider(t *testing.T) *oauthtest.Provider {
	p := oauthtest.NewProvider(t)
	p.TokenName = func(n int, account string) string { return fmt.Sprintf("%s-%d", account, n) }
	p.Page("/whoami", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+goodKey {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	return p
}

// upstreams returns Notion, which is required, and GitHub, which is not.
func upstreams(p *oauthtest.Provider) []*config.Server {
	return []*config.Server{
		{ID: "notion", Upstream: p.URL + "/mcp", Auth: &config.Auth{
			Mode: config.PerUserOAuth, Scopes: []string{"pages.read"}, ClientID: "gateway",
			AuthorizationEndpoint: p.URL + oauthtest.AuthorizePath, TokenEndpoint: p.URL + oauthtest.TokenPath,
			RevocationEndpoint: p.URL + oauthtest.RevokePath,
		}},
		{ID: "github", Upstream: p.URL + "/mcp", Auth: &config.Auth{
			Mode: config.PerUserHeaders, Optional: true, VerifyURL: p.URL + "/whoami",
			Headers: []config.AuthHeader{{Name: "Authorization", Prefix: "Bearer "}},
		}},
	}
}

// exchanged returns how many codes a provider was asked to exchange.
func exchanged(p *oauthtest.Provider) int { return len(p.Requests(oauthtest.TokenPath)) }

// agree is what the provider answers a browser that was sent there and has that
// account: an address of ours.
func agree(t *testing.T, sent *httptest.ResponseRecorder, account string) string {
	t.Helper()
	mustAnswer(t, sent, http.StatusSeeOther)
	return oauthtest.Visit(t, sent.Header().Get("Location"), account).RequestURI()
}

// codeIn returns the code in what a provider answers.
func codeIn(t *testing.T, answer string) string {
	t.Helper()
	u, err := url.Parse(answer)
	if err != nil || u.Query().Get("code") == "" {
		t.Fatalf("the provider answers %q, %v; want a code", answer, err)
	}
	return u.Query().Get("code")
}
