package server

import (
	"errors"
	"net/url"
	"slices"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

func TestGrantsOfAPerson(t *testing.T) {
	ts := newTestServer(t)
	ts.code()
	ts.approved(request("resource", "-"), alice)
	ts.approved(request(), keyIdentity("team"))
	approved, err := ts.as.Grants.List(t.Context(), alice.Subject)
	if err != nil || len(approved) != 2 {
		t.Fatalf("Grants = %v, %v", approved, err)
	}
	for _, subject := range []string{"user_id:bob", "virtual_key:team", ""} {
		if _, err := ts.as.Grants.RevokeOf(t.Context(), subject, approved[0].ID); !errors.Is(err, grants.ErrNoSuchGrant) {
			t.Errorf("as %q: %v", subject, err)
		}
	}
	if _, err := ts.as.Grants.RevokeOf(t.Context(), alice.Subject, "other"); !errors.Is(err, grants.ErrNoSuchGrant) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := ts.as.Grants.RevokeOf(t.Context(), alice.Subject, approved[0].ID); err != nil {
		t.Fatal(err)
	}
	left, err := ts.as.Grants.List(t.Context(), alice.Subject)
	if err != nil || len(left) != 1 || left[0].ID != approved[1].ID {
		t.Errorf("Grants = %v, %v", left, err)
	}
	ts.reload(func(c *siteConfig) { c.Issuer = "https://other.example" })
	if _, err := ts.as.Grants.RevokeOf(t.Context(), alice.Subject, approved[1].ID); !errors.Is(err, grants.ErrNoSuchGrant) {
		t.Errorf("of another issuer: %v", err)
	}
}

// Who revokes a client's access ends its refresh too.
func TestRevokedOnTheAccountPage_D15(t *testing.T) {
	ts := newTestServer(t)
	issued := ts.post(TokenPath, "app", url.Values{"grant_type": {"authorization_code"}, "code": {ts.code()}, "code_verifier": {testVerifier}})
	approved, err := ts.as.Grants.List(t.Context(), alice.Subject)
	if err != nil || len(approved) != 1 {
		t.Fatalf("Grants = %v, %v", approved, err)
	}
	if _, err := ts.as.Grants.RevokeOf(t.Context(), alice.Subject, approved[0].ID); err != nil {
		t.Fatal(err)
	}
	if again := ts.post(TokenPath, "app", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {issued.Refresh}}); again.Error != "invalid_grant" {
		t.Errorf("refresh: %s", again.body)
	}
}

func TestServersOf(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Keys = keyOfTeam("main") })
	if got := grants.ResourcesOf(ts.as.Policy.ServersOf(keyIdentity("team"))); !slices.Equal(got, []string{mainResource}) {
		t.Errorf("of a key for one: %q", got)
	}
	if got := ts.as.Policy.ServersOf(alice); len(got) != 2 {
		t.Errorf("of a user: %v", got)
	}
	ts.reload(func(c *siteConfig) { c.Keys = identity.NewVirtualKeys() })
	if got := ts.as.Policy.ServersOf(keyIdentity("team")); len(got) != 0 {
		t.Errorf("of a withdrawn key: %v", got)
	}
}

// The scope that stands for a connection is granted when there is one, and
// only then.
func TestConnectScope(t *testing.T) {
	withScope := func(c *siteConfig) {
		c.Servers[0].OptionalScopes = append(c.Servers[0].OptionalScopes, "connect:notion")
	}
	for name, tt := range map[string]struct {
		scope     string
		connected []string
		want      string
	}{
		"connected":                  {"mcp:use", []string{"notion"}, "mcp:use connect:notion"},
		"asked, connected":           {"connect:notion mcp:use", []string{"notion"}, "mcp:use connect:notion"},
		"asked, not connected":       {"mcp:use connect:notion", nil, "mcp:use"},
		"not connected":              {"mcp:use", []string{"main"}, "mcp:use"},
		"asked alone, not connected": {"connect:notion", nil, "connect:notion"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, withScope)
			f := ts.identified(request("scope", tt.scope), alice)
			target, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}, Connected: tt.connected})
			if err != nil {
				t.Fatal(err)
			}
			issued := ts.post(TokenPath, "app", url.Values{
				"grant_type": {"authorization_code"}, "code": {answer(t, target).Get("code")}, "code_verifier": {testVerifier}})
			if issued.Scope != tt.want {
				t.Errorf("scope = %q, want %q", issued.Scope, tt.want)
			}
		})
	}
	ts := newTestServer(t)
	f := ts.identified(request(), alice)
	if _, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}, Connected: []string{"notion"}}); err != nil {
		t.Fatal(err)
	}
	if approved, _ := ts.as.Grants.List(t.Context(), alice.Subject); len(approved) != 1 || !slices.Equal(approved[0].Scope, []string{"mcp:use"}) {
		t.Errorf("of a server without such a scope: %v", approved)
	}
}
