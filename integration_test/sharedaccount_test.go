//go:build integration

package integration_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// shared is a gateway in front of an MCP server on which everybody uses the one
// account that an operator connects.
type shared struct {
	*harness.Gateway
	provider *harness.Provider
	server   *harness.Accounts
}

// runShared starts provider, server and gateway. With a path below /opaque the
// server asks the provider about each token.
func runShared(t *testing.T, accessToken time.Duration, path string) *shared {
	t.Helper()
	provider := harness.StartProvider(t, accessToken)
	server := harness.ServeAccounts(t, provider, path)
	w := &shared{
		Gateway: harness.Run(t, harness.Config{
			Directives: identities + "insecure_allow_loopback\nserver issues /issues " + server.URL + ` {
				title Issues
				auth oauth
				identity_header X-MCP-User identity
			}`,
			Env: keys,
		}),
		provider: provider,
		server:   server,
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the provider printed last:\n%s", provider.Tail())
		}
	})
	return w
}

// started is what the admin API answers to an operator who wants to connect a
// server.
type started struct {
	Site         string `json:"site"`
	Server       string `json:"server"`
	Status       string `json:"status"`
	AuthorizeURL string `json:"authorize_url"`
}

// connect does what an operator does: asks the admin API for the link, opens it
// and agrees at the provider.
func (w *shared) connect(t *testing.T, account string) {
	t.Helper()
	var link started
	w.Admin(t, http.MethodPost, "/issues/start", http.StatusOK, &link)
	if link.Site != w.URL || link.Server != "issues" || link.Status != "pending" || !strings.HasPrefix(link.AuthorizeURL, w.URL+"/oauth/connect/") {
		t.Fatalf("%+v", link)
	}
	operator := harness.NewBrowser(t)
	page := operator.Open(t, link.AuthorizeURL)
	page.MustShow(t, "Everybody on this site will use the one account")
	operator.ConnectAs(t, page, "Issues", account).MustShow(t, "Issues is connected", "Everybody on this site uses this account now")
}

// bearers returns an access token for each of three people.
func (w *shared) bearers(t *testing.T) map[string]string {
	t.Helper()
	tokens := map[string]string{}
	for _, who := range residents(t) {
		tokens[who.user] = w.SignIn(t, who.Person, "/issues").AccessToken
	}
	return tokens
}

// sessions opens an MCP session for each of these people.
func (w *shared) sessions(t *testing.T, tokens map[string]string) map[string]*mcp.ClientSession {
	t.Helper()
	sessions := map[string]*mcp.ClientSession{}
	for user, token := range tokens {
		sessions[user] = connect(t, with(token, w.URL+"/issues"), nil, "")
	}
	return sessions
}

// mustBeUnavailable fails the test unless a call is answered with 503, without
// a word of what an operator could do, and does not reach the server.
func (w *shared) mustBeUnavailable(t *testing.T, token string) {
	t.Helper()
	before := len(w.server.Seen())
	resp := w.Post(t, "/issues", token, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || strings.Contains(resp.Text, "/oauth/connect/") {
		t.Errorf("%s %v: %s", resp.Status, resp.Header, resp.Text)
	}
	for _, seen := range w.server.Seen()[before:] {
		t.Errorf("the server saw a %s by %q", seen.Method, seen.Header.Get("X-MCP-User"))
	}
}

// from returns what the server saw since it had seen that many requests, as
// users by token. It must have refused none.
func (w *shared) from(t *testing.T, n int) map[string]map[string]bool {
	t.Helper()
	users := map[string]map[string]bool{}
	for _, seen := range w.server.Seen()[n:] {
		if seen.Account == "" {
			t.Errorf("the server refused a %s with %q by %q", seen.Method, seen.Token, seen.Header.Get("X-MCP-User"))
		}
		if users[seen.Token] == nil {
			users[seen.Token] = map[string]bool{}
		}
		users[seen.Token][seen.Header.Get("X-MCP-User")] = true
	}
	return users
}

// An operator connects an account; from then on the calls of three people carry
// its one token. When it expires, fifty calls at once lead to one refresh. When
// the operator ends the connection, the provider is told, and calls get 503.
func TestSharedAccount_K10(t *testing.T) {
	w := runShared(t, 5*time.Second, "/opaque/mcp")
	tokens := w.bearers(t)
	for _, token := range tokens {
		w.mustBeUnavailable(t, token)
	}
	w.Admin(t, http.MethodGet, "/issues/status", http.StatusNotFound, nil)
	w.Admin(t, http.MethodPost, "/nothing/start", http.StatusNotFound, nil)
	w.connect(t, harness.Ada)
	w.provider.Lifetime(t, 10*time.Minute)
	first := w.Connection(t, "issues")

	before := len(w.server.Seen())
	sessions := w.sessions(t, tokens)
	for _, session := range sessions {
		mustBe(t, session, harness.Ada)
	}
	token := ""
	for used, users := range w.from(t, before) {
		if len(users) != len(tokens) {
			t.Errorf("%q came from %v", used, users)
		}
		token = used
	}
	oauthtest.Eventually(t, "the token does not expire", func() bool {
		_, err := w.server.WhoseToken(token)
		return err != nil
	})

	before = len(w.server.Seen())
	var calls sync.WaitGroup
	for range 50 / len(sessions) {
		for user, session := range sessions {
			calls.Go(func() {
				if got, result, err := callWhoAmI(t, session); err != nil || result.IsError || got.Account != harness.Ada {
					t.Errorf("%s came as %q: %v, %+v", user, got.Account, err, result)
				}
			})
		}
	}
	calls.Wait()
	renewed := ""
	for used, users := range w.from(t, before) {
		if renewed != "" || len(users) != len(tokens) || used == token {
			t.Errorf("after the token expired, %q came from %v", used, users)
		}
		renewed = used
	}
	if counts := w.provider.Counts(t); counts.Refreshes != 1 || counts.Codes != 1 || counts.Refusals != 0 {
		t.Errorf("one connection, one expiry: %+v", counts)
	}
	second := w.Connection(t, first.ID)
	if second.TokenID == first.TokenID || !second.TokenExpiresAt.After(first.TokenExpiresAt) || !second.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("refreshed from %+v to %+v", first, second)
	}

	var ended harness.Connection
	w.Admin(t, http.MethodDelete, "/"+first.ID, http.StatusOK, &ended)
	if ended.Status != "revoked" || ended.ID != first.ID {
		t.Errorf("ended: %+v", ended)
	}
	if after := w.Connection(t, "issues"); after.Status != "revoked" {
		t.Errorf("what became of it: %+v", after)
	}
	w.Admin(t, http.MethodDelete, "/"+first.ID, http.StatusNotFound, nil)
	for _, token := range tokens {
		w.mustBeUnavailable(t, token)
	}
	oauthtest.Eventually(t, "the provider is not told", func() bool { return w.provider.Counts(t).Revocations > 0 })
	if account, err := w.server.WhoseToken(renewed); err == nil {
		t.Errorf("the token still works, as %q's", account)
	}
	w.connect(t, harness.Bea) // and another account is another connection
	if again := w.Connection(t, "issues"); again.ID == first.ID || again.Status != "authorized" {
		t.Errorf("connected again: %+v", again)
	}
	for _, session := range w.sessions(t, tokens) {
		mustBe(t, session, harness.Bea)
	}
}

// While the provider is out of order, calls fail once the token has expired.
// Nothing is lost by that: when it is back they succeed, and no operator had to
// do anything.
func TestSharedAccountOutage(t *testing.T) {
	w := runShared(t, 4*time.Second, "/mcp")
	tokens := w.bearers(t)
	w.connect(t, harness.Cyd)
	before := w.Connection(t, "issues")
	sessions := w.sessions(t, tokens)
	w.provider.Outage(t)
	for _, session := range sessions {
		until(t, session, func(_ harness.WhoAmI, err error) bool { return err != nil })
	}
	w.mustBeUnavailable(t, tokens["virtual_key:alice"])
	if during := w.Connection(t, "issues"); during.Status != "authorized" || during.TokenID != before.TokenID {
		t.Errorf("during the outage: %+v", during)
	}
	w.provider.Recover(t)
	for _, session := range sessions {
		until(t, session, func(got harness.WhoAmI, err error) bool { return err == nil && got.Account == harness.Cyd })
	}
	if counts := w.provider.Counts(t); counts.Codes != 1 || counts.Refusals != 0 || counts.Refreshes == 0 {
		t.Errorf("after the outage: %+v", counts)
	}
}
