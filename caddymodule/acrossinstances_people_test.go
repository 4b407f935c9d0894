//go:build postgres

package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// openAtPeer calls the other instance with a token, so that it is remembered there, and
// opens a stream there.
func (c *cluster) openAtPeer(token string) *http.Response {
	c.t.Helper()
	c.within(atOnce, http.StatusOK, token)
	stream := c.atPeer("GET", "", token, "Accept", "text/event-stream")
	if got, err := readEvent(stream.Body); got != "open" {
		c.t.Fatalf("got %q, %v", got, err)
	}
	return stream
}

// Whom an identity provider lets in no more, by what it tells one instance, is out at
// the other at once, with their streams; so is whom an operator ends. Their accounts
// are kept for a week.
func TestPeopleEndAtOtherInstances_J10_D09_E18(t *testing.T) {
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	idp := oauthtest.NewIdentityProvider(t)
	up, _ := answersAndStreams(t)
	notion := newService(t)
	c := newCluster(t, pgtest.For(t, pgtest.Options{}), oidcLines(idp, "allow group:staff")+
		strings.Replace(notion.server("optional"), "/mcp http", "/notion http", 1)+"server a /mcp "+up.URL+"\n", "")
	c.identity, c.browser = "elsewhere", c.person("jane").browser
	c.listening()
	c.connects = []string{"notion"}
	c.signIn("client", c.url+"/notion")
	c.connects = nil
	jane := &employee{instance: c.instance, idp: idp}
	const path = "/mcp_oauth/people"
	for _, tt := range []struct {
		name string
		ends func()
		kept bool // the account, for a while
	}{
		{"by an operator", func() { admin(t, c.admin, "DELETE", path+"?subject=oidc:idp:jane", http.StatusOK) }, false},
		{"another group", func() {
			idp.Change(func() { idp.People["jane"]["groups"] = []string{"alumni"} })
			jane.later(due)
			idp.Change(func() { idp.People["jane"]["groups"] = []string{"staff"} })
		}, true},
		{"removed", func() { idp.Disable("jane"); jane.later(due) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			jane.answer = c.signIn("client", c.url+"/mcp")
			jane.token = accessToken(t, jane.answer)
			stream := c.openAtPeer(jane.token)
			tt.ends()
			c.within(atOnce, http.StatusUnauthorized, jane.token)
			endsSoon(t, stream.Body)
			shown, err := printCommand(t, "people", "show", "oidc:idp:jane", "--address", c.admin)
			if err != nil || !strings.Contains(shown, "notion") || strings.Contains(shown, ", unless they sign in again") != tt.kept {
				t.Errorf("%v, and what is shown of jane:\n%s", err, shown)
			}
		})
	}
	if n := c.logged("the accounts that a person connected are kept for a week only"); n != 2 {
		t.Errorf("the log says %d times that the account is kept for a week, want 2", n)
	}
}

// A virtual key that leaves the configuration of one instance ends what it approved at
// the other, although that has it still; so does a registration that is deleted, and
// its client is unknown there.
func TestWithdrawnAtOneInstance_E17_E18(t *testing.T) {
	up, later := answersAndStreams(t)
	server := "server a /mcp " + up.URL + "\n"
	c := newCluster(t, pgtest.For(t, pgtest.Options{}), people("alice", "bob")+server, "")
	c.listening()
	signIn := func(name string) (token string) {
		c.identity, c.typed = "vk", map[string][]string{"vk": {keyOf(name)}}
		defer func() { c.identity, c.typed = "", nil }()
		return accessToken(t, c.signIn("client", c.url+"/mcp"))
	}
	t.Run("a client", func(t *testing.T) {
		token := signIn("alice")
		stream := c.openAtPeer(token)
		admin(t, c.admin, "DELETE", "/mcp_oauth/clients/"+c.client, http.StatusOK)
		c.within(atOnce, http.StatusUnauthorized, token)
		endsSoon(t, stream.Body)
		res := c.at(c.peer, "GET", fmt.Sprintf("/api/oauth/per-user/authorize?response_type=code&client_id=%s&redirect_uri=http://127.0.0.1:7777/cb", c.client), "", "")
		status(t, res, http.StatusBadRequest) // it is unknown there
	})
	t.Run("a virtual key of the configuration", func(t *testing.T) {
		withdrawn, stays := signIn("bob"), signIn("alice")
		stream, other := c.openAtPeer(withdrawn), c.openAtPeer(stays)
		c.lines = people("alice") + server
		c.load(c.file())
		c.within(atOnce, http.StatusUnauthorized, withdrawn)
		endsSoon(t, stream.Body)
		later <- "still here"
		if got, err := readEvent(other.Body); got != "still here" {
			t.Errorf("got %q, %v", got, err)
		}
		status(t, c.atPeer("POST", initialize, keyOf("bob")), http.StatusOK) // by the configuration that it has
	})
}
