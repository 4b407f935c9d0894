//go:build postgres

package caddymodule

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// sendsAt sends a call of the client to one of the instances.
func (c *cluster) sendsAt(peer *instance, to *client, body string, headers ...string) *http.Response {
	c.t.Helper()
	return c.at(peer, "POST", "/mcp", body, to.access, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// until asks again and again until it is answered so.
func (c *cluster) until(want int, what string, ask func() *http.Response) *http.Response {
	c.t.Helper()
	began := time.Now()
	for {
		res := ask()
		if res.StatusCode == want {
			c.t.Logf("%s: %d after %v", what, want, time.Since(began))
			return res
		}
		if time.Since(began) > atOnce {
			c.t.Fatalf("%s: got %s after %v, want %d", what, res.Status, time.Since(began), want)
		}
	}
}

// A call that needs an account begins at one instance, its person connects it at
// another, and the client tries again at a third.
func TestLinksAcrossInstances_E17(t *testing.T) {
	notion := newService(t)
	c := newCluster(t, pgtest.For(t, pgtest.Options{}), people("alice", "bob")+notion.server("optional")+"server a /a "+oauthtest.Serve(t, nil).URL+"\n", "")
	third := c.join("")
	c.path = "/a"
	c.listening(third)
	c.path = "/mcp"

	t.Run("input required", func(t *testing.T) {
		alice := c.person("alice")
		app := alice.signIn()
		version := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "whoami"}
		call := func(more string) string {
			return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami",` + more + modernMeta + `}}`
		}
		answer := status(t, app.send(call(""), version...), http.StatusOK)
		var asked struct{ Result struct{ RequestState string } }
		if err := json.Unmarshal([]byte(answer), &asked); err != nil || asked.Result.RequestState == "" {
			t.Fatalf("answer %s, %v", answer, err)
		}

		// Whatever else it sends meanwhile can wait, and ends no grant.
		for _, at := range []*instance{c.peer, third} {
			for _, revision := range []string{"", "2025-06-18", "2025-11-25"} {
				res := c.sendsAt(at, app, `{"jsonrpc":"2.0","id":8,"method":"tools/list"}`, "Mcp-Protocol-Version", revision)
				if got := status(t, res, http.StatusForbidden); res.Header.Get("WWW-Authenticate") != "" || !connectLink.MatchString(got) {
					t.Errorf("%q: %v %s", revision, res.Header, got)
				}
			}
		}
		app.refreshTokens()

		c.through(c.peer, alice)
		alice.follow(answer)
		retry := call(`"requestState":"` + asked.Result.RequestState + `","inputResponses":{"gw.connect.notion":{"action":"accept"}},`)
		if got := status(t, c.sendsAt(third, app, retry, version...), http.StatusOK); !strings.Contains(got, `"account":"alice"`) {
			t.Errorf("the call once more: %s", got)
		}
	})
	t.Run("elicitation by URL", func(t *testing.T) {
		bob := c.person("bob")
		app := bob.signIn()
		bob.connect("notion")
		id := c.sendsAt(c.instance, app, opensURLs).Header.Get("Mcp-Session-Id")
		session := []string{"Mcp-Session-Id", id, "Mcp-Protocol-Version", "2025-11-25"}
		bob.disconnect("notion")
		answer := status(t, app.send(toolCall, session...), http.StatusOK)
		if !connectLink.MatchString(answer) {
			t.Fatalf("answer %s", answer)
		}
		c.through(c.peer, bob)
		bob.follow(answer)
		res := c.until(http.StatusOK, "connected at another instance", func() *http.Response {
			return c.sendsAt(third, app, toolCall, "Mcp-Protocol-Version", "2025-11-25")
		})
		if got := status(t, res, http.StatusOK); !strings.Contains(got, `"account":"bob"`) {
			t.Errorf("the call once more: %s", got)
		}
	})
	t.Run("more scopes at the provider", func(t *testing.T) {
		alice := c.person("alice")
		alice.connect("notion")
		notion.Change(func() { notion.Need = "write" })
		defer notion.Change(func() { notion.Need = "" })
		answer := status(t, alice.call(toolCall), http.StatusOK)
		c.through(c.peer, alice)
		alice.follow(answer)
		c.until(http.StatusOK, "more scopes", func() *http.Response {
			res := c.at(third, "POST", "/mcp", toolCall, keyOf("alice"), "Content-Type", "application/json")
			if got := status(t, res, http.StatusOK); !strings.Contains(got, `"account":"alice"`) {
				return &http.Response{Status: got}
			}
			return res
		})
	})
}

// Where no notification arrives, the other instance knows at once all the same that a
// client was given a link, and then that the link was used.
func TestOpenLinkWithoutNotifications_E17(t *testing.T) {
	notion := newService(t)
	_, port, _ := strings.Cut(freeAddr(t), ":")
	c := newCluster(t, pgtest.For(t, pgtest.Options{}), people("alice")+notion.server("optional"),
		`listen_dsn "host=127.0.0.1 port=`+port+` user=postgres dbname=postgres"`)
	alice := c.person("alice")
	list := func(at *instance, app *client) *http.Response {
		return c.sendsAt(at, app, `{"jsonrpc":"2.0","id":8,"method":"tools/list"}`, "Mcp-Protocol-Version", "2025-06-18")
	}
	app := alice.signIn()
	alice.connect("notion")
	id := c.sendsAt(c.instance, app, opensURLs).Header.Get("Mcp-Session-Id")
	alice.disconnect("notion")
	answer := status(t, app.send(toolCall, "Mcp-Session-Id", id, "Mcp-Protocol-Version", "2025-11-25"), http.StatusOK)
	for range 2 {
		res := list(c.peer, app)
		if got := status(t, res, http.StatusForbidden); res.Header.Get("WWW-Authenticate") != "" || !connectLink.MatchString(got) {
			t.Errorf("while the link is open: %v %s", res.Header, got)
		}
	}
	app.refreshTokens()

	alice.follow(answer)
	oauthtest.Eventually(t, "the call does not go on", func() bool {
		return strings.Contains(status(t, app.send(toolCall, "Mcp-Protocol-Version", "2025-11-25"), http.StatusOK), `"account":"alice"`)
	})
	alice.disconnect("notion")
	oauthtest.Eventually(t, "the link stays open for the other instance", func() bool {
		switch res := list(c.peer, app); res.StatusCode {
		case http.StatusForbidden:
			return false
		case http.StatusUnauthorized:
			return true
		default:
			t.Fatalf("status %d, want 401", res.StatusCode)
			return false
		}
	})
	app.wantNoRefresh()
}

// A client is asked for more scopes at one instance, its person agrees at another, and
// what it gets is good at a third. One that does not ask is not asked by each of them.
func TestStepUpAcrossInstances_E17(t *testing.T) {
	up := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="a:write"`)
		http.Error(w, "canary", http.StatusForbidden)
	})
	notion := newService(t)
	c := newCluster(t, pgtest.For(t, pgtest.Options{}), people("alice")+notion.server("optional")+
		"server a /a "+oauthtest.Serve(t, nil).URL+"\nserver w /w "+up.URL+" {\noptional_scopes a:write\n}\n", "")
	third := c.join("")
	c.path = "/a"
	c.listening(third)

	t.Run("optional scope", func(t *testing.T) {
		token := accessToken(t, c.signIn("client", c.url+"/w"))
		challenge := regexp.MustCompile(` scope="([^"]*)"`)
		res := c.call("POST", "/w", initialize, "Authorization", "Bearer "+token)
		asked := challenge.FindStringSubmatch(res.Header.Get("WWW-Authenticate"))
		if res.StatusCode != http.StatusForbidden || asked == nil || asked[1] != "mcp:use a:write" {
			t.Fatalf("got %s %v", res.Status, res.Header)
		}
		var agree string
		c.authorize = func(at string) { agree = at }
		form := c.approved("client", c.url+"/w")
		c.authorize = nil
		alice := c.person("alice")
		c.through(c.peer, alice)
		c.browser = alice.browser
		to := c.approve(agree + "&scope=mcp%3Ause+a%3Awrite")
		c.browser = nil
		form.Set("code", to.Query().Get("code"))
		answer := status(t, third.call("POST", "/api/oauth/per-user/token", form.Encode(), "Host", c.addr,
			"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), http.StatusOK)
		if !strings.Contains(answer, `"mcp:use a:write"`) {
			t.Fatalf("answer %s", answer)
		}
		for _, at := range []*instance{c.instance, c.peer, third} { // and what the server says then goes to the client as it is
			res := c.at(at, "POST", "/w", initialize, accessToken(t, answer))
			if got := status(t, res, http.StatusForbidden); got != "canary\n" || res.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("got %v %s", res.Header, got)
			}
		}
	})
	t.Run("a client that does not ask", func(t *testing.T) {
		app := c.person("alice").signIn()
		status(t, app.send(toolCall, "Mcp-Protocol-Version", "2025-11-25"), http.StatusForbidden)
		app.refreshTokens()
		time.Sleep(atOnce / 4)
		res := c.sendsAt(third, app, toolCall, "Mcp-Protocol-Version", "2025-11-25")
		status(t, res, http.StatusUnauthorized)
		wantChallenge(t, res, `error="invalid_token"`)
		app.wantNoRefresh()
	})
}
