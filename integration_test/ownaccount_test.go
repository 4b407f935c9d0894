//go:build integration

package integration_test

import (
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// own is a gateway in front of two MCP servers on which each person has an
// account of their own, at one real provider.
type own struct {
	*harness.Gateway
	provider *harness.Provider
	// servers are by path: JWTs at /notes, opaque tokens at /issues.
	servers map[string]*harness.Accounts
}

// titles are the servers' names on our pages.
var titles = map[string]string{"/notes": "Notes", "/issues": "Issues"}

// resident is a person with an account at the provider, and their browser.
type resident struct {
	harness.Person
	account string
	// user is what the gateway calls them towards upstreams.
	user    string
	browser *harness.Browser
}

// residents returns three people who have never been here.
func residents(t *testing.T) []*resident {
	return []*resident{
		{alice, harness.Ada, "virtual_key:alice", harness.NewBrowser(t)},
		{bob, harness.Bea, "virtual_key:bob", harness.NewBrowser(t)},
		{harness.Person{UserID: "cem"}, harness.Cyd, "user_id:cem", harness.NewBrowser(t)},
	}
}

// runOwn starts provider, servers and gateway. When the test has ended, each
// server must have seen people's own tokens only.
func runOwn(t *testing.T, accessToken time.Duration, directives string) *own {
	t.Helper()
	provider := harness.StartProvider(t, accessToken)
	notes := harness.ServeAccounts(t, provider, "/notes/mcp")
	issues := harness.ServeAccounts(t, provider, "/opaque/issues/mcp")
	w := &own{
		Gateway: harness.Run(t, harness.Config{
			Directives: identities + "insecure_allow_loopback\n" + directives +
				"\nserver notes /notes " + notes.URL + accountServer("Notes") +
				"\nserver issues /issues " + issues.URL + accountServer("Issues"),
			Env: keys,
		}),
		provider: provider,
		servers:  map[string]*harness.Accounts{"/notes": notes, "/issues": issues},
	}
	t.Cleanup(func() {
		w.check(t)
		if t.Failed() {
			t.Logf("the provider printed last:\n%s", provider.Tail())
		}
	})
	return w
}

func accountServer(title string) string {
	return ` {
	title ` + title + `
	auth per_user_oauth {
		optional
	}
	identity_header X-MCP-User identity
}`
}

// check fails the test if a server ever saw anything but the token of exactly
// the person on whose behalf the gateway called, or no token. Of its own accord,
// for nobody, the gateway shows a token only after the server had refused it.
func (w *own) check(t *testing.T) {
	t.Helper()
	accounts := map[string]string{}
	for _, r := range residents(t) {
		accounts[r.user] = r.account
	}
	for path, server := range w.servers {
		owner := map[string]string{} // of tokens
		refused := map[string]bool{}
		withToken := 0
		for _, seen := range server.Seen() {
			if seen.Token == "" {
				continue
			}
			withToken++
			user := seen.Header.Get("X-MCP-User")
			if seen.Account != "" {
				owner[seen.Token] = seen.Account
			}
			if user == "" && refused[seen.Token] {
				continue
			}
			refused[seen.Token] = seen.Account == ""
			// A token that was refused was good before, or nobody knows whose it was.
			if whose := owner[seen.Token]; whose == "" || whose != accounts[user] {
				t.Errorf("%s saw the token of %q on a %s for %q", path, whose, seen.Method, user)
			}
		}
		t.Logf("%s saw %d calls, %d with a token", path, len(server.Seen()), withToken)
	}
}

// link begins to sign in at the server with that path: what a client does
// before the browser opens.
func (w *own) link(t *testing.T, path string) (client *harness.Client, link string) {
	t.Helper()
	client = w.Register(t, "http://127.0.0.1:9/callback")
	return client, client.Link(w.URL + path)
}

// signIn signs the person in for the server, who connects it on the way unless
// it is connected already.
func (w *own) signIn(t *testing.T, who *resident, path string) harness.Tokens {
	t.Helper()
	client, link := w.link(t, path)
	return client.Redeem(t, who.approve(t, link, titles[path]).Leaving, w.URL+path)
}

// approve walks from a client's link back to the client, and connects the
// server on the way.
func (r *resident) approve(t *testing.T, link, title string) *oauthtest.Page {
	t.Helper()
	services := r.browser.Identify(t, r.browser.Open(t, link), r.Person)
	services = r.browser.ConnectAs(t, services, title, r.account)
	services.MustShow(t, "Connected")
	return r.browser.Press(t, services, harness.ApproveButton, nil)
}

// connect follows a link that a client showed.
func (r *resident) connect(t *testing.T, link, title string) {
	t.Helper()
	r.browser.ConnectAs(t, r.browser.Open(t, link), title, r.account).MustShow(t, title+" is connected")
}

// disconnect goes to the account page and disconnects the only server that is
// connected.
func (r *resident) disconnect(t *testing.T, gateway string) {
	t.Helper()
	account := r.browser.Open(t, gateway+"/oauth/account")
	r.browser.Submit(t, account, disconnectPath, nil)
}
