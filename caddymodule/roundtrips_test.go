//go:build postgres

package caddymodule

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// waits counts, for each step, how often a request of it waited for the database.
type waits struct {
	t     *testing.T
	relay *pgtest.Relay
	at    string // our site
	next  http.RoundTripper
	least map[string]uint64
}

// RoundTrip implements http.RoundTripper, for the requests of a browser. Those to
// providers are no steps of ours.
func (c *waits) RoundTrip(r *http.Request) (res *http.Response, err error) {
	if "http://"+r.URL.Host != c.at {
		return c.next.RoundTrip(r)
	}
	c.during(r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/oauth/per-user"), func() { res, err = c.next.RoundTrip(r) })
	return res, err
}

// during counts what do waits. Others ask the database now and then, so the least of
// several times counts.
func (c *waits) during(step string, do func()) {
	before := c.relay.Trips()
	do()
	took := c.relay.Trips() - before
	c.t.Logf("%d %s", took, step)
	if least, known := c.least[step]; !known || took < least {
		c.least[step] = took
	}
}

// Each step of a sign-in waits for the database three times at most, whether or not
// anything is remembered: with a load balancer, each step may be another instance's.
func TestRoundTrips(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	relay, err := server.Relay(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	notion, idp := newService(t), oauthtest.NewIdentityProvider(t)
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	file := g.onPostgres(people("alice")+"identity user_id\n"+oidcLines(idp, "")+machines("", "batch")+notion.server(), relay.DSN())
	// It is told of nothing, as that would be counted too.
	g.load(strings.Replace(file, "stale_for 0", "stale_for 0\nlisten_dsn \"host=127.0.0.1 port=1 user=postgres dbname=postgres\"", 1))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	// Nor does it tell others anything: nobody waits for that.
	stateOf(t, g).connections.Tell.Store(nil)
	all := map[string]uint64{}
	for way, steps := range waysToSignIn {
		forgetRates(t, g, server)
		c := &walker{waits: waits{t: t, relay: relay, at: g.url, least: map[string]uint64{}}, g: g}
		for range 6 {
			c.starts()
			steps(c)
		}
		for step, n := range c.least {
			all[way+": "+step] = n
		}
	}
	for _, step := range slices.Sorted(maps.Keys(all)) {
		t.Logf("%d %s", all[step], step)
		if all[step] > 3 {
			t.Errorf("%s waits for the database %d times, want 3 at most", step, all[step])
		}
	}
}

// forgetRates lets everybody do as much as if they had done nothing yet.
func forgetRates(t *testing.T, g *instance, server *pgtest.Server) {
	t.Helper()
	now := stateOf(t, g).Limiter.Now()
	stateOf(t, g).Limiter.Now = func() time.Time { return now.Add(time.Minute) }
	if err := server.Exec("delete from mcp_oauth.rates"); err != nil {
		t.Fatal(err)
	}
}

// waysToSignIn are what is counted.
var waysToSignIn = map[string]func(*walker){
	"vk": func(c *walker) {
		c.registers(nil)
		c.finishes(c.connects(c.signsIn("vk", url.Values{"vk": {keyOf("alice")}})))
	},
	"user-id": func(c *walker) {
		c.registers(nil)
		c.finishes(c.connects(c.signsIn("user-id", url.Values{"user_id": {"bob"}})))
	},
	"skip": func(c *walker) {
		c.registers(nil)
		c.finishes(c.connects(c.signsIn("skip", nil)))
	},
	"elsewhere": func(c *walker) {
		c.registers(nil)
		c.finishes(c.connects(c.signsIn("oidc-idp", nil)))
	},
	"program": func(c *walker) {
		c.during("POST /token", func() { c.g.machineToken("batch") })
	},
	"account page": func(c *walker) {
		c.onAccountPage("vk", url.Values{"vk": {keyOf("alice")}})
	},
	"account page, elsewhere": func(c *walker) {
		c.onAccountPage("oidc-idp", nil)
	},
	// Whoever signed in on the account page is known to the next application.
	"known": func(c *walker) {
		c.onAccountPage("vk", url.Values{"vk": {keyOf("alice")}})
		c.registers(nil)
		c.finishes(c.opens(c.person))
	},
	"known, elsewhere": func(c *walker) {
		c.onAccountPage("oidc-idp", nil)
		c.registers(nil)
		c.finishes(c.opens(c.person))
	},
	"account page, elsewhere, anybody": func(c *walker) {
		defer c.letsAnybodyIn()()
		c.onAccountPage("oidc-idp", nil)
	},
	"elsewhere, anybody": func(c *walker) {
		defer c.letsAnybodyIn()()
		c.registers(nil)
		c.finishes(c.connects(c.signsIn("oidc-idp", nil)))
	},
	"known, user-id": func(c *walker) {
		c.onAccountPage("user-id", url.Values{"user_id": {"bob"}})
		c.registers(nil)
		c.finishes(c.opens(c.person))
	},
	"known, elsewhere, anybody": func(c *walker) {
		defer c.letsAnybodyIn()()
		c.onAccountPage("oidc-idp", nil)
		c.registers(nil)
		c.finishes(c.opens(c.person))
	},
	"account page, user-id": func(c *walker) {
		c.onAccountPage("user-id", url.Values{"user_id": {"bob"}})
	},
	"ticked tools": func(c *walker) {
		c.ticks = true
		c.registers(nil)
		c.finishes(c.connects(c.signsIn("vk", url.Values{"vk": {keyOf("alice")}})))
	},
	"known, ticked tools": func(c *walker) {
		c.ticks = true
		c.onAccountPage("vk", url.Values{"vk": {keyOf("alice")}})
		c.registers(nil)
		c.finishes(c.opens(c.person))
	},
	"JWT": func(c *walker) {
		c.registers(c.ownKey())
		c.finishes(c.connects(c.signsIn("vk", url.Values{"vk": {keyOf("alice")}})))
	},
}

// walker is somebody with a client, each of whose requests is counted.
type walker struct {
	waits
	*app
	g      *instance
	person *person
	key    *ecdsa.PrivateKey // of a client that authenticates by it
	ticks  bool              // tools are chosen one by one
}

// starts begins with a browser that knows nothing.
func (c *walker) starts() {
	c.app, c.key, c.ticks = c.g.app("counted", ""), nil, false
	c.address = ""
	c.person = c.user("alice")
	c.next = c.person
	c.person.browser.Client.Transport = c
}

// letsAnybodyIn makes the provider one at which anybody can have an account, until what
// it returns is called.
func (c *walker) letsAnybodyIn() (end func()) {
	m := activeApp().sites.handlers[0].cfg.SignIn.Of("oidc:idp")
	m.ExcludesStrangers = false
	return func() { m.ExcludesStrangers = true }
}

func (c *walker) registers(members oauthtest.Object) {
	c.t.Helper()
	c.during("register", func() { c.app.registers(http.StatusCreated, members) })
}

// ownKey is the metadata of a client that authenticates by a key.
func (c *walker) ownKey() oauthtest.Object {
	c.t.Helper()
	var err error
	if c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		c.t.Fatal(err)
	}
	return oauthtest.Object{"token_endpoint_auth_method": "private_key_jwt", "jwks": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: c.key.Public(), KeyID: "1"}}}}
}

// proof is what the client sends to prove who it is.
func (c *walker) proof() []string {
	c.t.Helper()
	if c.key == nil {
		return nil
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: c.key, KeyID: "1"}}, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	now := time.Now()
	assertion, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": c.id, "sub": c.id, "aud": c.g.url, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}).Serialize()
	if err != nil {
		c.t.Fatal(err)
	}
	return []string{"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", assertion}
}

// signsIn opens the link of the client and says who uses the browser.
func (c *walker) signsIn(way string, typed url.Values) *oauthtest.Page {
	c.t.Helper()
	return c.person.browser.Submit(c.t, c.opens(c.person), "/api/oauth/per-user/consent/"+way, typed)
}

// connects connects an account in a flow.
func (c *walker) connects(page *oauthtest.Page) *oauthtest.Page {
	c.t.Helper()
	return c.person.browser.Submit(c.t, page, "/api/oauth/per-user/upstream/authorize", url.Values{"server": {"notion"}})
}

// finishes approves, and uses, refreshes and revokes the tokens.
func (c *walker) finishes(page *oauthtest.Page) {
	c.t.Helper()
	decision := url.Values{"decision": {"approve"}}
	if c.ticks {
		decision["tools:notion"], decision["others:notion"] = []string{"ticked"}, []string{"none"}
	}
	done := c.person.browser.Submit(c.t, page, "/api/oauth/per-user/consent/submit", decision)
	if done.Leaving == nil {
		c.t.Fatalf("status %d, want a redirect to the client: %s", done.Status, done.Text())
	}
	code := []string{"grant_type", "authorization_code", "code", done.Leaving.Query().Get("code"), "code_verifier", appVerifier, "redirect_uri", c.redirect, "resource", c.resource}
	c.during("token", func() { c.token(http.StatusOK, append(code, c.proof()...)...) })
	c.during("call", func() { c.call(c.access, http.StatusOK) })
	c.during("refresh", func() {
		c.token(http.StatusOK, append([]string{"grant_type", "refresh_token", "refresh_token", c.refreh}, c.proof()...)...)
	})
	if c.key != nil {
		return // who revokes has signed in long ago
	}
	for _, token := range []string{c.access, c.refreh} {
		c.during(fmt.Sprintf("revoke %.6s", token), func() {
			form := url.Values{"token": {token}, "client_id": {c.id}}
			status(c.t, c.send("POST", "/api/oauth/per-user/revoke", form.Encode(), "Content-Type", formType), http.StatusOK)
		})
	}
}

// onAccountPage signs in there, and connects an account.
func (c *walker) onAccountPage(way string, typed url.Values) {
	c.t.Helper()
	b := c.person.browser
	page := b.Submit(c.t, c.person.visit(c.g.url+"/oauth/account"), "/oauth/account/"+way, typed)
	page = b.Submit(c.t, page, "/oauth/account/connect", url.Values{"server": {"notion"}})
	if !strings.Contains(page.Text(), "Connected") {
		c.t.Fatalf("notion is not connected: %s", page.Text())
	}
}
