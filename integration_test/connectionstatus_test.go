//go:build integration

package integration_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// What the admin API tells of any connection.
var connectionMembers = []string{
	"created_at", "id", "mode", "owner", "scopes", "server", "site", "status", "token_expires_at", "token_id", "updated_at",
}

// mustBeConnection fails the test unless the admin API shows that status, and
// exactly what belongs to it.
func mustBeConnection(t *testing.T, g *harness.Gateway, id, status string, more ...string) harness.Connection {
	t.Helper()
	c := g.Connection(t, id)
	if c.Status != status || c.Site != g.URL || c.TokenID == "" || c.CreatedAt.IsZero() || c.UpdatedAt.Before(c.CreatedAt) || !slices.Equal(c.Scopes, []string{"read"}) {
		t.Errorf("%+v, want status %s", c, status)
	}
	var members map[string]any
	answer := g.Admin(t, http.MethodGet, "/"+id+"/status", http.StatusOK, nil)
	if err := json.Unmarshal([]byte(answer), &members); err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(slices.Concat(connectionMembers, more)))
	if got := slices.Sorted(maps.Keys(members)); !slices.Equal(got, want) {
		t.Errorf("%s has %v, want %v", status, got, want)
	}
	return c
}

// Each way in which the operator's connection can come to an end shows, and is
// mended by connecting again. Until then calls get 503.
func TestSharedConnectionStatus(t *testing.T) {
	w := runShared(t, time.Minute, "/opaque/mcp")
	token := w.SignIn(t, alice, "/issues").AccessToken
	call := func() int {
		return w.Post(t, "/issues", token, `{"jsonrpc":"2.0","id":1,"method":"ping"}`).StatusCode
	}
	connected := func() harness.Connection {
		w.connect(t, harness.Ada)
		c := mustBeConnection(t, w.Gateway, "issues", "authorized")
		if got := mustBeConnection(t, w.Gateway, c.ID, "authorized"); got.Owner != "shared:" || got.Server != "issues" || got.Mode != "oauth" {
			t.Errorf("%+v", got)
		}
		mustBe(t, connect(t, with(token, w.URL+"/issues"), nil, ""), harness.Ada)
		return c
	}

	first := connected()
	w.provider.RevokeAll(t)
	if status := call(); status != http.StatusServiceUnavailable {
		t.Errorf("revoked at the provider: %d", status)
	}
	mustBeConnection(t, w.Gateway, "issues", "needs_reauth")
	w.mustBeUnavailable(t, token)

	// The provider counts whole seconds: its token can end a second before ours
	// does, which must not be before the renewal was looked at.
	w.provider.Lifetime(t, 12*time.Second)
	if again := connected(); again.ID != first.ID || !again.CreatedAt.Equal(first.CreatedAt) || again.TokenID == first.TokenID {
		t.Errorf("connected again: %+v, before %+v", again, first)
	}
	w.provider.LoseAnswers(t)
	oauthtest.Eventually(t, "no renewal fails", func() bool {
		call()
		return w.Connection(t, "issues").Status != "authorized"
	})
	mustBeConnection(t, w.Gateway, "issues", "failed")
	if counts := w.provider.Counts(t); counts.Refreshes != 1 {
		t.Errorf("while the old token works: %+v", counts)
	}
	oauthtest.Eventually(t, "the old token does not end", func() bool { return call() == http.StatusServiceUnavailable })
	w.provider.Recover(t)
	// It is asked once more now, and answers that it has replaced the refresh token.
	oauthtest.Eventually(t, "the provider does not answer", func() bool {
		call()
		return w.Connection(t, "issues").Status == "needs_reauth"
	})
	w.mustBeUnavailable(t, token)
	if counts := w.provider.Counts(t); counts.Refreshes != 1 {
		t.Errorf("a refresh token whose answer was lost: %+v", counts)
	}

	w.provider.NoRefreshTokens(t)
	w.provider.Lifetime(t, 4*time.Second)
	connected()
	oauthtest.Eventually(t, "the token does not end", func() bool { return w.Connection(t, "issues").Status != "authorized" })
	mustBeConnection(t, w.Gateway, "issues", "expired")
	w.mustBeUnavailable(t, token)

	w.provider.Lifetime(t, time.Minute)
	connected()
}

// A person's connection is pending, and nobody's to use, until they finish
// signing in.
func TestPendingConnectionStatus(t *testing.T) {
	w := runOwn(t, time.Minute, "")
	who := residents(t)[0]
	client, link := w.link(t, "/notes")
	services := who.browser.Identify(t, who.browser.Open(t, link), who.Person)
	services = who.browser.ConnectAs(t, services, "Notes", who.account)
	all := w.Connections(t)
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	pending := mustBeConnection(t, w.Gateway, all[0].ID, "pending", "expires_at")
	if pending.Owner == who.user || time.Until(pending.ExpiresAt) > 15*time.Minute {
		t.Errorf("%+v", pending)
	}

	answer := who.browser.Press(t, services, harness.ApproveButton, nil).Leaving
	mustBe(t, connect(t, with(client.Redeem(t, answer, w.URL+"/notes").AccessToken, w.URL+"/notes"), nil, ""), who.account)
	all = w.Connections(t)
	if len(all) != 1 || all[0].Owner != who.user || all[0].Mode != "per_user_oauth" {
		t.Fatalf("%+v", all)
	}
	mustBeConnection(t, w.Gateway, all[0].ID, "authorized")
}
