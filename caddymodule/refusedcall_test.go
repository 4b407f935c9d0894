package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const rejectedCall = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"rejected"}}`

// withAndWithoutRefresh runs a test for connections that can be refreshed, and
// for those that cannot.
func withAndWithoutRefresh(t *testing.T, test func(t *testing.T, notion *service)) {
	for name, noRefresh := range map[string]bool{"with a refresh token": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			notion := newService(t)
			notion.Reject = "rejected"
			if noRefresh {
				notion.noRefreshTokens()
			}
			test(t, notion)
		})
	}
}

// E24: one caller cannot end the account that everybody uses.
func TestRejectedCallOfSharedAccount_E24(t *testing.T) {
	withAndWithoutRefresh(t, func(t *testing.T, notion *service) {
		lines := people("alice", "bob") + strings.Replace(notion.server(), "per_user_oauth", "oauth", 1)
		g := newGateway(t, lines)
		addr := g.withAdmin(lines)
		operator, alice, bob := g.person("company"), g.person("alice"), g.person("bob")
		operator.follow(sharedLink(t, addr))
		for range 3 {
			got := status(t, bob.call(rejectedCall), http.StatusOK)
			if !strings.Contains(got, `"isError":true`) || strings.Contains(got, oauthtest.Canary) || connectLink.MatchString(got) {
				t.Errorf("bob got %s", got)
			}
			alice.wantAccount("company")
		}
		list := strings.Replace(rejectedCall, "tools/call", "tools/list", 1)
		if got := status(t, bob.call(list), http.StatusBadGateway); strings.Contains(got, oauthtest.Canary) {
			t.Errorf("bob got %s", got)
		}
		if got := admin(t, addr, "GET", "/mcp_oauth/connections/notion/status", 200); !strings.Contains(got, `"status":"authorized"`) {
			t.Errorf("status %s", got)
		}
	})
}

func sharedLink(t *testing.T, addr string) string {
	t.Helper()
	var started struct {
		AuthorizeURL string `json:"authorize_url"`
	}
	if err := json.Unmarshal([]byte(admin(t, addr, "POST", "/mcp_oauth/connections/notion/start", 200)), &started); err != nil {
		t.Fatal(err)
	}
	return started.AuthorizeURL
}

// E24: nor does a call that is refused end the grant that it came with. The
// person is told where to connect again, in case that helps.
func TestRejectedCallEndsNoGrant_E24(t *testing.T) {
	withAndWithoutRefresh(t, func(t *testing.T, notion *service) {
		g := newGateway(t, people("alice")+notion.server("optional"))
		alice := g.person("alice")
		c := alice.signIn("notion")
		for _, revision := range []string{"", "2025-06-18", "2025-11-25"} {
			got := status(t, c.send(rejectedCall, "Mcp-Protocol-Version", revision), http.StatusOK)
			if !strings.Contains(got, `"isError":true`) || strings.Contains(got, oauthtest.Canary) || !connectLink.MatchString(got) {
				t.Errorf("%s: answer %s", revision, got)
			}
		}
		if got := status(t, c.send(toolCall), http.StatusOK); !strings.Contains(got, `"account":"alice"`) {
			t.Errorf("the next call: %s", got)
		}
	})
}

// E24: an account that works no more, and that nobody can refresh, leads to its
// person, once the server has refused it to us too.
func TestRefusedCredentialWithoutRefresh_E24(t *testing.T) {
	notion := newService(t)
	notion.noRefreshTokens()
	g := newGateway(t, people("alice", "bob")+notion.server("optional"))
	alice, bob := g.person("alice"), g.person("bob")
	alice.connect("notion")
	c := bob.signIn("notion")
	notion.provider.ExpireAll()
	notion.ForgetAccounts()
	for range 3 {
		res := alice.call(toolCall)
		got := status(t, res, http.StatusOK)
		if !strings.Contains(got, `"isError":true`) || !connectLink.MatchString(got) || strings.Contains(got+fmt.Sprint(res.Header), oauthtest.Canary) {
			t.Errorf("answer %s", got)
		}
	}
	if got := len(notion.Accounts()); got != 3 { // the first call and our own two questions; the others are not sent
		t.Errorf("the server saw %d requests, want 3", got)
	}
	res := c.send(toolCall, "Mcp-Protocol-Version", "2025-06-18")
	status(t, res, http.StatusUnauthorized)
	wantChallenge(t, res, `error="invalid_token"`)
	c.wantNoRefresh()
	if strings.Contains(g.log(), oauthtest.Canary) {
		t.Error("the log has what the upstream said")
	}
}

// Nobody is led to consent to more for the account that all use: that is for
// the operator. The call is refused, and account and grant go on.
func TestScopeAskOfSharedAccount_CL16(t *testing.T) {
	notion := newService(t)
	lines := people("alice") + strings.Replace(notion.server(), "per_user_oauth", "oauth", 1)
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	operator, alice := g.person("company"), g.person("alice")
	operator.follow(sharedLink(t, addr))
	notion.Change(func() { notion.Need = "write" })
	for _, revision := range []string{"2025-06-18", "2025-11-25"} {
		res := alice.call(toolCall, "Mcp-Protocol-Version", revision)
		header := res.Header.Get("WWW-Authenticate")
		got := status(t, res, http.StatusOK)
		if !strings.Contains(got, "is not allowed to do this") || strings.Contains(got, oauthtest.Canary) || connectLink.MatchString(got) || header != "" {
			t.Errorf("%s: alice got %q, %s", revision, header, got)
		}
		list := alice.call(strings.Replace(toolCall, "tools/call", "tools/list", 1), "Mcp-Protocol-Version", revision)
		if got := status(t, list, http.StatusForbidden); strings.Contains(got, oauthtest.Canary) || connectLink.MatchString(got) || list.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: alice got %q, %s", revision, list.Header.Get("WWW-Authenticate"), got)
		}
	}
	notion.Change(func() { notion.Need = "" })
	alice.wantAccount("company")
}
