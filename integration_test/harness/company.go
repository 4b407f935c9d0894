package harness

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Company is a gateway at which people sign in at an identity provider, and a
// Ticker behind it at /mcp.
type Company struct {
	*Gateway
	Provider *IdentityProvider
	Ticker   *Ticker
}

// Groups of a Company. Only staff may sign in.
const (
	Staff       = "staff"
	Engineering = "engineering"
)

// companySecret is that of the gateway at the provider.
const companySecret = "a-secret-of-the-gateway-at-the-provider"

// StartCompany starts a gateway for a provider, with further options of the
// identity and further lines of the site.
func StartCompany(t testing.TB, p *IdentityProvider, options, lines string) *Company {
	t.Helper()
	c := &Company{Provider: p, Ticker: Tick(t)}
	c.Gateway = Run(t, Config{
		Directives: fmt.Sprintf("%s\nserver ticker /mcp %s\n%s", IdentityAt(p, "company", options), c.Ticker.URL, lines),
		Env:        []string{"OIDC_SECRET=" + companySecret},
	})
	c.RegisterAt(t, p, "company")
	c.awaitProvider(t)
	return c
}

// awaitProvider waits until the gateway has found the provider, which it looks for
// while it already answers; not for long, as the provider may be down.
func (c *Company) awaitProvider(t testing.TB) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for range 100 {
		res, err := client.Get(c.URL + "/oauth/account")
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "does not answer at the moment") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// IdentityAt is how people sign in at a provider, under a name.
func IdentityAt(p *IdentityProvider, name, options string) string {
	return fmt.Sprintf(`identity oidc %s {
		name %s
		title %s
		client_id mcp
		client_secret {env.OIDC_SECRET}
		allow group:%s
		scopes profile email groups offline_access
		%s
	}`, p.URL, name, name, Staff, options)
}

// RegisterAt makes the gateway known to a provider that it knows under a name.
func (c *Company) RegisterAt(t testing.TB, p *IdentityProvider, name string) {
	t.Helper()
	p.Register(t, OIDCClient{
		ID: "mcp", Secret: companySecret,
		RedirectURIs:           []string{c.URL + "/oauth/login/callback/oidc-" + name},
		PostLogoutRedirectURIs: []string{c.URL + "/oauth/account"},
		BackchannelLogoutURI:   c.URL + "/oauth/login/backchannel/oidc-" + name,
	})
}

// Hire gives somebody an account at the provider, and groups.
func (c *Company) Hire(t testing.TB, name string, groups ...string) {
	t.Helper()
	c.Provider.Account(t, name, OIDCAccount{Email: name + "@example.com", EmailVerified: true, Name: name, Groups: groups})
}

// Employee is somebody who signed in to a client.
type Employee struct {
	Name    string
	Browser *Browser
	Client  *Client
	Tokens  Tokens

	company *Company
}

// SignInAs signs somebody in to a new client, with a new browser.
func (c *Company) SignInAs(t testing.TB, name string) *Employee {
	t.Helper()
	e := &Employee{Name: name, Browser: NewBrowser(t), company: c}
	e.SignInAgain(t)
	return e
}

// SignInAgain signs somebody in to a new client, with the same browser.
func (e *Employee) SignInAgain(t testing.TB) {
	t.Helper()
	e.Client = e.company.Register(t, "http://127.0.0.1:9/callback")
	page := e.company.ToConsent(t, e.Browser, e.Client.Link(e.company.URL+"/mcp"), e.Name)
	if !Decides(page) {
		t.Fatalf("%s comes to %s (%d): %s", e.Name, page.URL.Path, page.Status, page.Text())
	}
	done := e.Browser.Approve(t, page)
	if done.Leaving == nil {
		t.Fatalf("%s does not come back to the client but to %s (%d): %s", e.Name, done.URL.Path, done.Status, done.Text())
	}
	e.Tokens = e.Client.Redeem(t, done.Leaving, e.company.URL+"/mcp")
}

const decisionPath = "/api/oauth/per-user/consent/submit"

// Decides reports whether a page is the one on which a person decides.
func Decides(page *oauthtest.Page) bool { return page.Hidden(decisionPath) != nil }

// Approve approves on the page on which a person decides, be they new here or
// known to the browser.
func (b *Browser) Approve(t testing.TB, page *oauthtest.Page) *oauthtest.Page {
	t.Helper()
	return b.Submit(t, page, decisionPath, url.Values{"decision": {"approve"}})
}

// ToConsent goes from the link of a client to the page on which a person decides,
// by way of the provider where it must. If they get no further, it returns the
// page that says why.
func (c *Company) ToConsent(t testing.TB, b *Browser, link, name string) *oauthtest.Page {
	t.Helper()
	return c.through(t, b, b.Open(t, link), name)
}

// through goes from a page of ours to where a sign-in ends.
func (c *Company) through(t testing.TB, b *Browser, page *oauthtest.Page, name string) *oauthtest.Page {
	t.Helper()
	if label := "Continue with company"; page.HasButton(label) {
		page = b.Press(t, page, label, nil)
	}
	if page.Leaving == nil || !strings.HasPrefix(page.Leaving.String(), c.Provider.URL) {
		return page
	}
	return b.Follow(t, c.Provider.LogIn(t, b, b.Follow(t, page), name))
}

// Works reports whether an access token is good.
func (e *Employee) Works(t testing.TB) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.company.URL+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.Tokens.AccessToken)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		t.Fatalf("%s gets %s", e.Name, resp.Status)
	}
	return resp.StatusCode == http.StatusOK
}

// RefreshError returns the error with which a refresh is refused, or "".
func (e *Employee) RefreshError(t testing.TB) string {
	t.Helper()
	resp, err := http.PostForm(e.company.URL+"/api/oauth/per-user/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {e.Tokens.RefreshToken}, "client_id": {e.Client.ID},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"invalid_grant", "invalid_client", "temporarily_unavailable"} {
		if strings.Contains(body.String(), code) {
			return code
		}
	}
	return ""
}
