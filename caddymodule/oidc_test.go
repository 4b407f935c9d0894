package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/placeholders"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// oidcLines are those of a site at which people sign in at a provider, called
// idp.
func oidcLines(p *oauthtest.IdentityProvider, options string) string {
	return "identity oidc " + p.URL + " {\nname idp\nclient_id " + p.ClientID + "\nclient_secret {env.OIDC_SECRET}\n" + options + "\n}\n"
}

// browserTo returns a browser that goes to the provider, and back.
func (g *instance) browserTo(p *oauthtest.IdentityProvider) *oauthtest.Browser {
	b := oauthtest.NewBrowser(g.t)
	b.Client.Transport = once
	b.Follows = func(u *url.URL) bool { return u.Host == g.addr || "http://"+u.Host == p.URL }
	return b
}

// authorizeURL returns the authorization request of a new client.
func (g *instance) authorizeURL(resource string) string {
	g.t.Helper()
	var url string
	g.authorize = func(at string) { url = at }
	defer func() { g.authorize = nil }()
	g.approved("client", resource)
	return url
}

// People sign in at the provider, without a page of ours before, and are then
// asked whether the application may have anything. Servers are told what the
// provider says of them.
func TestSignInAtProvider_J15(t *testing.T) {
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	idp := oauthtest.NewIdentityProvider(t)
	up := oauthtest.Serve(t, nil)
	server := "server a /mcp " + up.URL + " {\nidentity_header X-Id identity\nidentity_header X-Mail email\nidentity_header X-Groups groups\nidentity_header X-Name name\n" +
		"proxy {\nheader_up X-Placeholder \"{http.mcp_oauth.email} {http.mcp_oauth.groups} {http.mcp_oauth.name}\"\n}\n}"
	g := newGateway(t, oidcLines(idp, "email verified\nallow group:staff\nmax_age 1h")+server)
	g.identity, g.browser = "elsewhere", g.browserTo(idp)
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	if !strings.Contains(g.pages, "<strong>jane@example.com</strong>") || !strings.Contains(g.pages, "signed in at 127.0.0.1:") {
		t.Errorf("pages:\n%s", g.pages)
	}
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusOK)
	h := up.Last(t).Header
	for name, want := range map[string]string{
		"X-Id": "oidc:idp:jane", "X-Mail": "jane@example.com", "X-Groups": "staff", "X-Name": "Jane Doe", "X-Placeholder": "jane@example.com staff Jane Doe",
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
	asked := idp.Logins()[0]
	if asked.Get("max_age") != "3600" || asked.Get("redirect_uri") != g.url+"/oauth/login/callback/oidc-idp" {
		t.Errorf("asked %v", asked)
	}
	// Whoever is signed in at the provider, but not to be let in, reads so.
	idp.Change(func() {
		idp.Sub, idp.People["joe"] = "joe", oauthtest.Object{"name": "Joe", "groups": []string{"guests"}}
	})
	page := g.browserTo(idp).Open(t, g.authorizeURL(g.url+"/mcp"))
	if !strings.Contains(page.Text(), "does not let you in with that account") || !strings.Contains(page.Text(), "Error reference") {
		t.Errorf("page: %s", page.Text())
	}
	reference := page.URL.Query().Get("ref")
	if line := logLine(t, g.log(), reference); line["level"] != "info" || line["provider"] != idp.URL || !strings.Contains(line["error"].(string), "oidc:idp:joe") {
		t.Errorf("the log says %v of %q", line, reference)
	}
	if strings.Contains(g.log(), "at-1") || strings.Contains(g.log(), "eyJ") {
		t.Error("a token is in the log")
	}
}

// logLine returns the line of the log with a text.
func logLine(t *testing.T, log, text string) map[string]any {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry map[string]any
		if strings.Contains(line, text) && text != "" && json.Unmarshal([]byte(line), &entry) == nil {
			return entry
		}
	}
	t.Fatalf("no line has %q:\n%s", text, log)
	return nil
}

// A provider that does not answer when Caddy starts stops nothing: the page says
// so, a login can be tried again, and works when it does.
func TestProviderDownAtStart(t *testing.T) {
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	idp := oauthtest.NewIdentityProvider(t)
	good := idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.Answer(http.StatusBadGateway, "text/html", oauthtest.Canary))
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, oidcLines(idp, "")+"server a /mcp "+up.URL)
	if line := logLine(t, g.log(), "redirect URI must be registered"); line["issuer"] != idp.URL || line["redirect_uri"] != g.url+"/oauth/login/callback/oidc-idp" {
		t.Errorf("the log says %v", line)
	}
	browser := g.browserTo(idp)
	page := browser.Open(t, g.authorizeURL(g.url+"/mcp"))
	if page.Status != http.StatusOK || !strings.Contains(page.Text(), "does not answer at the moment") {
		t.Fatalf("status %d: %s", page.Status, page.Text())
	}
	page = browser.Submit(t, page, "/api/oauth/per-user/consent/oidc-idp", nil)
	if page.Status != http.StatusServiceUnavailable || !strings.Contains(page.Text(), "cannot tell who you are") || !strings.Contains(page.Text(), "Go back") {
		t.Errorf("status %d: %s", page.Status, page.Text())
	}
	if line := logLine(t, g.log(), "sign-in failed"); line["level"] != "warn" || line["provider"] != idp.URL {
		t.Errorf("the log says %v", line)
	}
	idp.Page(oauthtest.OpenIDConfigurationPath, good)
	oauthtest.Eventually(t, "the provider is not found", func() bool {
		return strings.Contains(g.log(), `"event":"provider.recovered"`)
	})
	page = browser.Open(t, g.authorizeURL(g.url+"/mcp"))
	if !strings.Contains(page.Text(), "jane") || !strings.Contains(page.Text(), "Allow") {
		t.Errorf("status %d: %s", page.Status, page.Text())
	}
}

// Who signs out at the account page is shown the way to do that at the provider,
// and its key is where the provider finds it.
func TestSignOutAtProvider(t *testing.T) {
	idp := oauthtest.NewIdentityProvider(t)
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, "identity anonymous\nidentity oidc "+idp.URL+" {\nname idp\nclient_id "+idp.ClientID+"\nauth_method private_key_jwt\n}\nserver a /mcp "+up.URL)
	browser := g.browserTo(idp)
	page := browser.Submit(t, browser.Open(t, g.url+"/oauth/account"), "/oauth/account/oidc-idp", nil)
	if !strings.Contains(page.Text(), "Sign out") || !strings.Contains(page.Text(), "jane") {
		t.Fatalf("status %d: %s", page.Status, page.Text())
	}
	page = browser.Submit(t, page, "/oauth/account/sign-out", nil)
	want := idp.URL + "/logout?client_id=gateway&amp;post_logout_redirect_uri=" + url.QueryEscape(g.url+"/oauth/account")
	if !strings.Contains(page.Body, want) || !strings.Contains(page.Text(), "Sign out there, too") {
		t.Errorf("page without %s:\n%s", want, page.Body)
	}
	keys := status(t, g.call("GET", "/oauth/login/jwks/oidc-idp", ""), http.StatusOK)
	if !strings.Contains(keys, `"kty":"EC"`) || strings.Contains(keys, `"d":`) {
		t.Errorf("keys: %s", keys)
	}
	assertion := idp.Requests(oauthtest.TokenPath)[0].Form.Get("client_assertion")
	if strings.Count(assertion, ".") != 2 {
		t.Errorf("assertion %q", assertion)
	}
}

// Providers at which anybody can have an account are warned of, unless rules say
// who may sign in.
func TestWarningOfPublicProvider(t *testing.T) {
	for _, tt := range []struct {
		issuer string
		allow  []string
		warns  bool
	}{{"https://accounts.google.com", nil, true}, {"https://accounts.google.com", []string{"claim:hd=example.com"}, false}, {"https://login.example.com", nil, false}} {
		core, log := observer.New(zap.WarnLevel)
		h := &Handler{log: zap.New(core), Site: config.Site{
			PublicURL:  "https://mcp.example.com",
			Identities: []config.Identity{{Kind: "oidc", OIDC: &config.OIDC{Issuer: tt.issuer, ClientID: "x", Allow: tt.allow}}},
			Servers:    []*config.Server{{ID: "a", Path: "/mcp", Upstream: "http://127.0.0.1:1/mcp"}},
		}}
		var err error
		if h.cfg, err = h.Resolve(placeholders.Replace); err != nil {
			t.Fatal(err)
		}
		h.warn()
		if warned := log.FilterMessageSnippet("anybody can have an account at this identity provider").FilterField(zap.String("issuer", tt.issuer)).Len() == 1; warned != tt.warns {
			t.Errorf("%+v: the log has %v", tt, log.All())
		}
	}
}

// What a provider said about itself outlives a configuration: one that does not
// answer just then keeps nobody out.
func TestProviderDownAtReload(t *testing.T) {
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	idp := oauthtest.NewIdentityProvider(t)
	up := oauthtest.Serve(t, nil)
	lines := oidcLines(idp, "") + "server a /mcp " + up.URL
	g := newGateway(t, lines)
	g.identity, g.browser = "elsewhere", g.browserTo(idp)
	accessToken(t, g.signIn("client", g.url+"/mcp"))
	idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.HangUp)
	g.load(g.caddyfile(lines))
	g.browser = g.browserTo(idp)
	accessToken(t, g.signIn("client", g.url+"/mcp"))
	if n := len(idp.Requests(oauthtest.OpenIDConfigurationPath)); n != 1 {
		t.Errorf("the metadata was fetched %d times, want once", n)
	}
}

// J10: whoever signs out at the provider is out here at once, in all applications.
func TestBackChannelLogout_J10(t *testing.T) {
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	idp := oauthtest.NewIdentityProvider(t)
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, oidcLines(idp, "allow group:staff")+"server a /mcp "+up.URL)
	g.identity, g.browser = "elsewhere", g.browserTo(idp)
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusOK)
	logOut := func(token string, want int) {
		t.Helper()
		status(t, g.call("POST", "/oauth/login/backchannel/oidc-idp", url.Values{"logout_token": {token}}.Encode(),
			"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), want)
	}
	logOut(idp.LogoutToken("jane", oauthtest.Object{"nonce": "x"}), http.StatusBadRequest)
	logOut(idp.LogoutToken("jane", oauthtest.Object{"events": oauthtest.Object{"x": 1}}), http.StatusBadRequest)
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusOK)
	logOut(idp.LogoutToken("jane", nil), http.StatusOK)
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusUnauthorized)
	if page := g.browser.Open(t, g.url+"/oauth/account"); strings.Contains(page.Text(), "jane") {
		t.Errorf("still signed in: %s", page.Text())
	}
}

// A16: what a provider puts into the URL of the callback is in no log, with the
// filter of the example.
func TestLoginCallbackIsNotLogged_A16(t *testing.T) {
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	idp := oauthtest.NewIdentityProvider(t)
	up := oauthtest.Serve(t, nil)
	lines := oidcLines(idp, "") + "server a /mcp " + up.URL
	g := newGateway(t, lines)
	access := filepath.Join(g.dir, "access.log")
	g.load(strings.Replace(g.caddyfile(lines), "bind 127.0.0.1", "bind 127.0.0.1\nlog {\noutput file "+access+exampleFilter(t)+"}", 1))
	browser := g.browserTo(idp)
	visits := &visited{RoundTripper: once}
	browser.Client.Transport = visits
	browser.Open(t, g.authorizeURL(g.url+"/mcp"))
	secrets := map[string]bool{}
	for _, u := range visits.urls {
		if strings.HasPrefix(u.Path, "/oauth/login/callback/") {
			secrets[u.Query().Get("code")], secrets[u.Query().Get("state")] = true, true
		}
	}
	if len(secrets) != 2 {
		t.Fatalf("secrets %v of %v", secrets, visits.urls)
	}
	var logged []byte
	for !strings.Contains(string(logged), `"uri":"/oauth/login/callback/oidc-idp`) { // Caddy logs a request after its answer was sent
		var err error
		if logged, err = os.ReadFile(access); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	for secret := range secrets {
		if strings.Contains(string(logged), "="+secret) || strings.Contains(g.log(), "="+secret) {
			t.Errorf("%q is logged", secret)
		}
	}
}
