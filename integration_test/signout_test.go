//go:build integration

package integration_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// Who signs out is led to the provider by a form with the ID token, which the
// provider takes, and comes back to the account page; the log has no token.
func TestSignOutAtCompany(t *testing.T) {
	p := harness.StartZitadel(t)
	c := harness.StartCompany(t, p, "", "")
	c.Hire(t, "ada", harness.Staff)
	ada := c.SignInAs(t, "ada")
	b := ada.Browser
	out := b.Press(t, b.Open(t, c.URL+"/oauth/account"), "Sign out", nil)
	out.MustShow(t, "You are signed out", "Applications that you let in keep their access")
	if policy := out.Header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "; form-action 'self' "+p.URL) {
		t.Errorf("policy %q, want only %s", policy, p.URL)
	}
	there, err := url.Parse(endSession(t, p))
	if err != nil {
		t.Fatal(err)
	}
	hint := out.Hidden(there.String()).Get("id_token_hint")
	if strings.Count(hint, ".") != 2 {
		t.Fatalf("id_token_hint %q", hint)
	}
	page := b.Press(t, out, "Sign out there, too", nil)
	if page.Leaving == nil || page.Leaving.String() != c.URL+"/oauth/account" {
		t.Fatalf("the provider leads to %v (%d): %s", page.Leaving, page.Status, page.Text())
	}
	b.Follow(t, page).MustShow(t, "Continue with company")
	if strings.Contains(c.Printed(), hint[:20]) {
		t.Error("the log has the token")
	}
	if !ada.Works(t) {
		t.Error("the application lost its access")
	}
}

// endSession returns where people sign out at a provider.
func endSession(t *testing.T, p *harness.IdentityProvider) string {
	t.Helper()
	return (&relyingParty{t: t, issuer: p.URL}).endpoint("end_session_endpoint")
}
