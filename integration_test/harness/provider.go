package harness

import (
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// People who have an account at a Provider.
const (
	Ada = "ada"
	Bea = "bea"
	Cyd = "cyd"
)

// Provider is the authorization server in front of other people's MCP servers:
// npm's oidc-provider, see js/authorization-server.mjs.
type Provider struct {
	*programs.Program
	// URL is its issuer.
	URL string

	args, env []string
	// introspection is the secret with which MCP servers ask what a token is worth.
	introspection string
}

// StartProvider starts a provider whose access tokens live that long.
func StartProvider(t testing.TB, accessToken time.Duration) *Provider {
	t.Helper()
	_, port, err := net.SplitHostPort(programs.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{URL: "http://127.0.0.1:" + port, introspection: rand.Text()}
	seconds := strconv.Itoa(int(accessToken.Seconds()))
	p.args = []string{port, seconds, p.introspection, Ada, Bea, Cyd}
	p.start(t)
	return p
}

func (p *Provider) start(t testing.TB) {
	t.Helper()
	server := programs.Node(t, "authorization-server.mjs", p.args...)
	server.Env = append(server.Env, p.env...)
	p.Program = programs.Start(t, server)
	p.Expect(t, "provider at "+p.URL)
}

// Restart ends the provider and starts it again: it has forgotten its clients,
// its tokens and its keys.
func (p *Provider) Restart(t testing.TB) {
	t.Helper()
	p.Kill()
	p.start(t)
}

// Trust starts the provider again as one that trusts what the certificate in
// this file has signed, when it reads the metadata documents of clients.
func (p *Provider) Trust(t testing.TB, root string) {
	t.Helper()
	p.env = append(p.env, "NODE_EXTRA_CA_CERTS="+root)
	p.Restart(t)
}

// Outage makes the provider answer everything with 503.
func (p *Provider) Outage(t testing.TB) { p.steer(t, "outage") }

// LoseAnswers makes the provider do what it is asked for tokens, and hang up
// instead of answering.
func (p *Provider) LoseAnswers(t testing.TB) { p.steer(t, "lose-answers") }

// Recover ends an outage, and lets answers through again.
func (p *Provider) Recover(t testing.TB) { p.steer(t, "recover") }

// RevokeAll ends all that anybody was granted. JWTs live on until they expire.
func (p *Provider) RevokeAll(t testing.TB) { p.steer(t, "revoke-all") }

// NoRefreshTokens makes the provider give out access tokens alone.
func (p *Provider) NoRefreshTokens(t testing.TB) { p.steer(t, "no-refresh-tokens") }

// Lifetime is how long the access tokens live that it gives out from now on.
func (p *Provider) Lifetime(t testing.TB, accessToken time.Duration) {
	p.steer(t, "lifetime/"+strconv.Itoa(int(accessToken.Seconds())))
}

func (p *Provider) steer(t testing.TB, what string) {
	t.Helper()
	resp, err := http.Post(p.URL+"/test/"+what, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", what, resp.Status)
	}
}

// Counts is how often what happened at a provider since it started.
type Counts struct {
	Registrations, Codes, Refreshes, Revocations int
	// Refusals are token requests that were refused.
	Refusals int
	// Clients are those that got tokens.
	Clients []string
	// Documents are the client metadata documents that were read.
	Documents []string
}

// Counts returns what happened so far.
func (p *Provider) Counts(t testing.TB) Counts {
	t.Helper()
	resp, err := http.Get(p.URL + "/test/counts")
	if err != nil {
		t.Fatal(err)
	}
	var counts Counts
	decode(t, resp, http.StatusOK, &counts)
	return counts
}

// introspect asks what an opaque token is worth (RFC 7662).
func (p *Provider) introspect(token string) (claims, error) {
	form := url.Values{"token": {token}}
	req, err := http.NewRequest(http.MethodPost, p.URL+"/token/introspection", strings.NewReader(form.Encode()))
	if err != nil {
		return claims{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("mcp-servers", p.introspection)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return claims{}, err
	}
	defer resp.Body.Close()
	var c claims
	err = json.NewDecoder(resp.Body).Decode(&c)
	return c, err
}
