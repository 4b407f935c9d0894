package harness

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// IdentityProvider is where the people of a company sign in, with OpenID
// Connect: a real one, of one of two makes.
type IdentityProvider struct {
	*programs.Program
	// URL is its issuer.
	URL string
	// Make is oidc-provider or zitadel.
	Make string

	command func() *exec.Cmd
	logIn   func(t testing.TB, b *Browser, at *oauthtest.Page, name string) *oauthtest.Page
}

// StartOIDCProvider starts npm's oidc-provider: js/identity-provider.mjs.
func StartOIDCProvider(t testing.TB) *IdentityProvider {
	t.Helper()
	addr, port := freePort(t)
	p := &IdentityProvider{
		URL:     "http://" + addr,
		Make:    "oidc-provider",
		command: func() *exec.Cmd { return programs.Node(t, "identity-provider.mjs", port) },
		logIn: func(t testing.TB, b *Browser, at *oauthtest.Page, name string) *oauthtest.Page {
			return b.Press(t, at, "Log in as "+name, nil)
		},
	}
	p.Restart(t)
	return p
}

// StartZitadel starts the one of zitadel's library: the program in zitadel.
func StartZitadel(t testing.TB) *IdentityProvider {
	t.Helper()
	addr, port := freePort(t)
	binary := programs.BuildModule(t, "zitadel")
	p := &IdentityProvider{
		URL:     "http://" + addr,
		Make:    "zitadel",
		command: func() *exec.Cmd { return exec.Command(binary, port) },
		logIn: func(t testing.TB, b *Browser, at *oauthtest.Page, name string) *oauthtest.Page {
			return b.Press(t, at, "Login", url.Values{"username": {name}, "password": {"secret"}})
		},
	}
	p.Restart(t)
	return p
}

func freePort(t testing.TB) (addr, port string) {
	t.Helper()
	addr = programs.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return addr, port
}

// Restart starts the provider, again if it has been: it has forgotten its
// client, its people and its keys.
func (p *IdentityProvider) Restart(t testing.TB) {
	t.Helper()
	if p.Program != nil {
		p.Kill()
	}
	p.Program = programs.Start(t, p.command())
	p.Expect(t, "provider at "+p.URL)
}

// LogIn tells the provider, on its page, who the person is, unless the browser
// is leaving it already, and returns where it sends the browser: back.
func (p *IdentityProvider) LogIn(t testing.TB, b *Browser, at *oauthtest.Page, name string) *oauthtest.Page {
	t.Helper()
	if at.Leaving == nil {
		at = p.logIn(t, b, at, name)
	}
	if at.Leaving == nil {
		t.Fatalf("the provider (%d) does not send the browser back but shows: %s", at.Status, at.Text())
	}
	return at
}

// OIDCClient is an application that signs people in at an IdentityProvider.
type OIDCClient struct {
	ID                     string   `json:"client_id"`
	Secret                 string   `json:"client_secret"`
	RedirectURIs           []string `json:"redirect_uris"`
	GrantTypes             []string `json:"grant_types"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI   string   `json:"backchannel_logout_uri,omitempty"`
}

// Register makes an application known to the provider.
func (p *IdentityProvider) Register(t testing.TB, c OIDCClient) {
	t.Helper()
	c.GrantTypes = []string{"authorization_code", "refresh_token"}
	p.steer(t, "client", c, nil)
}

// OIDCAccount is what a provider says of somebody.
type OIDCAccount struct {
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified"`
	Name          string   `json:"name,omitempty"`
	Groups        []string `json:"groups"`
}

// Account gives somebody an account, or changes what is said of them.
func (p *IdentityProvider) Account(t testing.TB, name string, a OIDCAccount) {
	t.Helper()
	p.steer(t, "accounts/"+name, a, nil)
}

// Disable ends somebody's account. Enable brings it back.
func (p *IdentityProvider) Disable(t testing.TB, name string) {
	p.steer(t, "accounts/"+name+"/disable", nil, nil)
}

// Enable brings back an account that was disabled.
func (p *IdentityProvider) Enable(t testing.TB, name string) {
	p.steer(t, "accounts/"+name+"/enable", nil, nil)
}

// EndSessions logs somebody out of everything, and returns what those answered
// who were told by back-channel logout: "ok", or why not.
func (p *IdentityProvider) EndSessions(t testing.TB, name string) (answers []string) {
	t.Helper()
	p.steer(t, "accounts/"+name+"/end-sessions", nil, &answers)
	return answers
}

// Outage makes the provider answer everything with 503.
func (p *IdentityProvider) Outage(t testing.TB) { p.steer(t, "outage", nil, nil) }

// Recover ends an outage.
func (p *IdentityProvider) Recover(t testing.TB) { p.steer(t, "recover", nil, nil) }

// Clock puts the provider's clock ahead. Only oidc-provider has this.
func (p *IdentityProvider) Clock(t testing.TB, ahead time.Duration) {
	p.steer(t, "clock/"+strconv.Itoa(int(ahead.Seconds())), nil, nil)
}

// RotateKeys makes the provider sign with a key that it did not have before, and
// forget the others. Only oidc-provider has this.
func (p *IdentityProvider) RotateKeys(t testing.TB) { p.steer(t, "rotate-keys", nil, nil) }

// OIDCCounts is how often what happened at a provider since it started.
type OIDCCounts struct{ Logins, Codes, Refreshes, Refusals, Logouts, Keys, Userinfo int }

// Counts returns what happened so far.
func (p *IdentityProvider) Counts(t testing.TB) (counts OIDCCounts) {
	t.Helper()
	p.steer(t, "counts", nil, &counts)
	return counts
}

func (p *IdentityProvider) steer(t testing.TB, what string, value, answer any) {
	t.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(p.URL+"/test/"+what, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var ignored any
	if answer == nil {
		answer = &ignored
	}
	decode(t, resp, http.StatusOK, answer)
}
