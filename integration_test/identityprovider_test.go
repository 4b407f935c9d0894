//go:build integration

package integration_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// providersOfBothMakes runs a test with each real identity provider.
func providersOfBothMakes(t *testing.T, test func(t *testing.T, p *harness.IdentityProvider)) {
	for make, start := range map[string]func(testing.TB) *harness.IdentityProvider{
		"oidc-provider": harness.StartOIDCProvider, "zitadel": harness.StartZitadel,
	} {
		t.Run(make, func(t *testing.T) { test(t, start(t)) })
	}
}

// What the tests of sign-in rely on: the providers log people in, say which
// groups they are in at each renewal, and renew nothing for those who have left.
func TestIdentityProviders(t *testing.T) {
	providersOfBothMakes(t, func(t *testing.T, p *harness.IdentityProvider) {
		told := make(chan string, 1)
		application := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			told <- r.PostFormValue("logout_token")
		}))
		t.Cleanup(application.Close)
		p.Register(t, harness.OIDCClient{
			ID: "app", Secret: "secret", RedirectURIs: []string{applicationURL}, BackchannelLogoutURI: application.URL,
		})
		p.Account(t, "ada", harness.OIDCAccount{Email: "ada@example.com", EmailVerified: true, Groups: []string{"staff", "admins"}})

		a := &relyingParty{t: t, issuer: p.URL}
		tokens := a.signIn(p, "ada")
		if got := a.groups(tokens); !slices.Equal(got, []string{"staff", "admins"}) {
			t.Errorf("after login: groups %q", got)
		}
		p.Account(t, "ada", harness.OIDCAccount{Groups: []string{"staff"}})
		tokens = a.refresh(tokens)
		if got := a.groups(tokens); !slices.Equal(got, []string{"staff"}) {
			t.Errorf("after a change: groups %q", got)
		}
		p.Disable(t, "ada")
		if got := a.refresh(tokens); got.Error != "invalid_grant" {
			t.Errorf("refresh for a disabled account: error %q, want invalid_grant", got.Error)
		}
		p.Enable(t, "ada")
		if got := p.EndSessions(t, "ada"); !slices.Equal(got, []string{"ok"}) || <-told == "" {
			t.Errorf("end of sessions: told %q, want ok and a token", got)
		}
	})
}

// relyingParty is an application of few lines.
type relyingParty struct {
	t      testing.TB
	issuer string
}

type oidcTokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Error   string `json:"error"`
}

const applicationURL = "http://127.0.0.1:9/cb"

// endpoint returns where a provider does something, by its member of discovery.
func (a *relyingParty) endpoint(name string) string {
	a.t.Helper()
	var d map[string]any
	a.get(a.issuer+"/.well-known/openid-configuration", "", &d)
	at, _ := d[name].(string)
	return at
}

func (a *relyingParty) get(at, token string, into any) {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, at, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	a.do(r, into)
}

func (a *relyingParty) do(r *http.Request, into any) {
	a.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		a.t.Fatalf("%s: %v", r.URL, err)
	}
}

func (a *relyingParty) signIn(p *harness.IdentityProvider, name string) oidcTokens {
	a.t.Helper()
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	b := harness.NewBrowser(a.t)
	at := b.Open(a.t, a.endpoint("authorization_endpoint")+"?"+url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {applicationURL}, "state": {rand.Text()},
		"scope":          {"openid email groups offline_access"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode())
	back := p.LogIn(a.t, b, at, name).Leaving
	tokens := a.token(url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {applicationURL}, "code_verifier": {verifier},
	})
	if tokens.Error != "" {
		a.t.Fatalf("%s at %s", tokens.Error, back)
	}
	return tokens
}

func (a *relyingParty) refresh(tokens oidcTokens) oidcTokens {
	a.t.Helper()
	return a.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}})
}

func (a *relyingParty) token(form url.Values) (tokens oidcTokens) {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.endpoint("token_endpoint"), strings.NewReader(form.Encode()))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("app", "secret")
	a.do(r, &tokens)
	return tokens
}

func (a *relyingParty) groups(tokens oidcTokens) []string {
	a.t.Helper()
	var info struct {
		Groups []string `json:"groups"`
	}
	a.get(a.endpoint("userinfo_endpoint"), tokens.Access, &info)
	return info.Groups
}
