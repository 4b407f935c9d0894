//go:build integration

package integration_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// ended waits until a stream ends, and fails the test if that takes longer.
func ended(t *testing.T, who string, s *harness.Stream, within time.Duration) {
	t.Helper()
	late := time.After(within)
	for {
		select {
		case _, open := <-s.Events:
			if !open {
				return
			}
		case <-late:
			t.Fatalf("the stream of %s is still open after %v", who, within)
		}
	}
}

// Somebody signs in at the company's provider to one client and then to another,
// and is known to the servers behind.
func TestSignInAtCompany(t *testing.T) {
	providersOfBothMakes(t, func(t *testing.T, p *harness.IdentityProvider) {
		upstream := harness.Record(t)
		c := harness.StartCompany(t, p, "", "server recorder /who "+upstream.URL+" {\nidentity_header X-Who identity\n}")
		c.Hire(t, "ada", harness.Staff)
		c.Hire(t, "eve", "visitors")

		ada := c.SignInAs(t, "ada")
		if !ada.Works(t) {
			t.Error("the token does not work")
		}
		logins := p.Counts(t).Logins
		ada.SignInAgain(t)
		if !ada.Works(t) || p.Counts(t).Logins != logins {
			t.Errorf("signing in again took %d logins, want %d", p.Counts(t).Logins, logins)
		}
		if got := ada.RefreshError(t); got != "" {
			t.Errorf("refresh: %s", got)
		}

		// An operator, who knows people by their names, finds them.
		for _, args := range [][]string{{"people"}, {"why", "--person", "ada"}} {
			out, said, err := mcpOAuth(c.Gateway, []string{"CADDY_ADMIN=" + c.AdminAddress()}, args...)
			if err != nil || !regexp.MustCompile(`oidc:\S*ada`).MatchString(out) || args[0] == "people" && !regexp.MustCompile(`:ada +ada +`).MatchString(out) {
				t.Errorf("%v: %v, %s%s", args, err, out, said)
			}
		}

		eve := harness.NewBrowser(t)
		page := c.ToConsent(t, eve, c.Register(t, "http://127.0.0.1:9/callback").Link(c.URL+"/mcp"), "eve")
		page.MustShow(t, "does not let you in", "Error reference")
	})
}

// A logout at the provider ends what a person has here at once: streams, tokens,
// and the browser session. Nothing comes back, and others go on.
func TestBackchannelLogout(t *testing.T) {
	providersOfBothMakes(t, func(t *testing.T, p *harness.IdentityProvider) {
		c := harness.StartCompany(t, p, "", "")
		c.Hire(t, "ada", harness.Staff)
		c.Hire(t, "bea", harness.Staff)
		ada, bea := c.SignInAs(t, "ada"), c.SignInAs(t, "bea")
		stream, others := c.OpenStream(t, "/mcp", ada.Tokens.AccessToken), c.OpenStream(t, "/mcp", bea.Tokens.AccessToken)
		stream.Follow(t, 1)

		if got := p.EndSessions(t, "ada"); !slices.Equal(got, []string{"ok"}) {
			t.Fatalf("the gateway says %q to the logout", got)
		}
		ended(t, "ada", stream, 15*time.Second)
		if ada.Works(t) {
			t.Error("the access token still works")
		}
		if got := ada.RefreshError(t); got != "invalid_grant" {
			t.Errorf("the refresh token: %q, want invalid_grant", got)
		}
		if page := ada.Browser.Open(t, c.URL+"/oauth/account"); strings.Contains(page.Text(), "Signed in as") {
			t.Errorf("the browser is still signed in: %s", page.Text())
		}
		others.Follow(t, 1)
		if !bea.Works(t) {
			t.Error("bea is out, too")
		}
		ada.SignInAgain(t)
		if !ada.Works(t) {
			t.Error("ada cannot come back")
		}
	})
}

// Within recheck, whoever is in the group no more is out, and so is whoever has
// no account any more. Giving either back revives nothing.
func TestRecheck(t *testing.T) {
	providersOfBothMakes(t, func(t *testing.T, p *harness.IdentityProvider) {
		t.Parallel()
		c := harness.StartCompany(t, p, "recheck 1m", "")
		people := map[string]*harness.Employee{}
		streams := map[string]*harness.Stream{}
		for _, name := range []string{"ada", "bea", "cyd"} {
			c.Hire(t, name, harness.Staff)
			people[name] = c.SignInAs(t, name)
			streams[name] = c.OpenStream(t, "/mcp", people[name].Tokens.AccessToken)
			streams[name].Follow(t, 1)
		}
		c.Hire(t, "ada") // in no group
		p.Disable(t, "bea")
		for _, name := range []string{"ada", "bea"} {
			ended(t, name, streams[name], 90*time.Second)
		}
		c.Hire(t, "ada", harness.Staff)
		p.Enable(t, "bea")
		for _, name := range []string{"ada", "bea"} {
			if people[name].Works(t) || people[name].RefreshError(t) != "invalid_grant" {
				t.Errorf("%s is not out", name)
			}
		}
		streams["cyd"].Follow(t, 1)
		if !people["cyd"].Works(t) || people["cyd"].RefreshError(t) != "" {
			t.Error("cyd is out, too")
		}
		if !strings.Contains(c.Printed(), "ada") {
			t.Error("the log does not say who was ended")
		}
	})
}

// A provider that is down keeps nobody from what they have, and is asked again:
// people who come in the meantime are told, and can try again on the same page.
func TestProviderDown(t *testing.T) {
	providersOfBothMakes(t, func(t *testing.T, p *harness.IdentityProvider) {
		p.Outage(t)
		c := harness.StartCompany(t, p, "", "")
		c.Hire(t, "ada", harness.Staff)
		b := harness.NewBrowser(t)
		client := c.Register(t, "http://127.0.0.1:9/callback")
		page := c.ToConsent(t, b, client.Link(c.URL+"/mcp"), "ada")
		if page.Status != http.StatusServiceUnavailable && !strings.Contains(page.Text(), "does not answer") {
			t.Errorf("while it is down (%d): %s", page.Status, page.Text())
		}
		p.Recover(t)
		var ada *harness.Employee
		oauthtest.Eventually(t, "people cannot sign in", func() bool {
			page := b.Open(t, client.Link(c.URL+"/mcp"))
			return page.Leaving != nil || !strings.Contains(page.Text(), "does not answer")
		})
		ada = c.SignInAs(t, "ada")

		// In the middle of a login.
		other := harness.NewBrowser(t)
		page = other.Open(t, client.Link(c.URL+"/mcp"))
		if page.HasButton("Continue with company") {
			page = other.Press(t, page, "Continue with company", nil)
		}
		back := p.LogIn(t, other, other.Follow(t, page), "ada")
		p.Outage(t)
		page = other.Follow(t, back)
		if page.Status != http.StatusServiceUnavailable {
			t.Errorf("in the middle of a login (%d): %s", page.Status, page.Text())
		}
		page.MustShow(t, "Error reference")
		if !ada.Works(t) || ada.RefreshError(t) != "" {
			t.Error("ada is out while the provider is down")
		}
		p.Recover(t)
		c.SignInAs(t, "ada")
	})
}

// A provider whose clock is two minutes ahead is not believed, and the log says
// why; half a minute is no matter.
func TestClocksApart(t *testing.T) {
	p := harness.StartOIDCProvider(t)
	c := harness.StartCompany(t, p, "", "")
	c.Hire(t, "ada", harness.Staff)
	p.Clock(t, 2*time.Minute)
	page := c.ToConsent(t, harness.NewBrowser(t), c.Register(t, "http://127.0.0.1:9/callback").Link(c.URL+"/mcp"), "ada")
	page.MustShow(t, "could not be relied on", "Error reference")
	if !strings.Contains(c.Printed(), "are the clocks of this machine and the provider right?") {
		t.Error("the log does not speak of clocks")
	}
	p.Clock(t, 30*time.Second)
	c.SignInAs(t, "ada")
}

// New keys of a provider are found when the first token comes that they signed.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	p := harness.StartOIDCProvider(t)
	c := harness.StartCompany(t, p, "", "")
	c.Hire(t, "ada", harness.Staff)
	c.SignInAs(t, "ada")
	p.RotateKeys(t)
	// Anybody can name a key that nobody knows, so there is a minute between looks.
	time.Sleep(61 * time.Second)
	c.SignInAs(t, "ada")
	if n := p.Counts(t).Keys; n != 2 {
		t.Errorf("the keys were fetched %d times, want twice", n)
	}
}

// With max_age, a session at the provider is not enough: it asks again.
func TestMaxAge(t *testing.T) {
	p := harness.StartOIDCProvider(t)
	c := harness.StartCompany(t, p, "max_age 1s", "")
	c.Hire(t, "ada", harness.Staff)
	for range 2 {
		ada := c.SignInAs(t, "ada")
		time.Sleep(2 * time.Second)
		// Another browser here, but the same one there.
		again := harness.NewBrowser(t)
		ada.Browser.CarryTo(t, again, p.URL, "_session")
		if page := c.ToConsent(t, again, c.Register(t, "http://127.0.0.1:9/callback").Link(c.URL+"/mcp"), "ada"); !harness.Decides(page) {
			t.Errorf("%d: %s", page.Status, page.Text())
		}
	}
	if n := p.Counts(t).Logins; n != 4 {
		t.Errorf("%d logins at the provider, want 4", n)
	}
}

// Two providers on one site: people choose, and namesakes are two people.
func TestTwoProviders(t *testing.T) {
	company, partner := harness.StartOIDCProvider(t), harness.StartZitadel(t)
	c := harness.StartCompany(t, company, "", harness.IdentityAt(partner, "partner", ""))
	c.RegisterAt(t, partner, "partner")
	for _, p := range []*harness.IdentityProvider{company, partner} {
		p.Account(t, "ada", harness.OIDCAccount{Email: "ada@example.com", EmailVerified: true, Name: "Ada", Groups: []string{harness.Staff}})
	}
	ada := c.SignInAs(t, "ada")
	b := harness.NewBrowser(t)
	client := c.Register(t, "http://127.0.0.1:9/callback")
	page := b.Open(t, client.Link(c.URL+"/mcp"))
	page.MustShow(t, "company", "partner")
	page = b.Follow(t, b.Press(t, page, "Continue with partner", nil))
	page = b.Follow(t, partner.LogIn(t, b, page, "ada"))
	done := b.Approve(t, page)
	client.Redeem(t, done.Leaving, c.URL+"/mcp")
	partner.EndSessions(t, "ada")
	if !ada.Works(t) {
		t.Error("the logout of a namesake elsewhere ended what ada has")
	}
}

// People with Chromium, see js/company.test.mjs. With -artifacts the pictures are
// kept.
func TestCompanyInChromium(t *testing.T) {
	providersOfBothMakes(t, func(t *testing.T, p *harness.IdentityProvider) {
		c := harness.StartCompany(t, p, "email verified", "server recorder /greet "+harness.Record(t).URL)
		c.Hire(t, "ada", harness.Staff)
		c.Hire(t, "eve", "visitors")
		walk := programs.Node(t, "company.test.mjs")
		walk.Env = append(walk.Env, "MCP_URL="+c.URL+"/greet", "PROVIDER="+p.URL, "MAKE="+p.Make, "CHROMIUM="+chromium(t), "SCREENSHOTS="+t.ArtifactDir())
		program := programs.Start(t, walk)
		if err := program.WaitFor(t, 10*time.Minute); err != nil { // axe-core looks at each page six times
			t.Fatalf("%v; printed last:\n%s", err, program.Tail())
		}
	})
}
