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
	up, next := eventStream(t)
	t.Cleanup(func() { close(next) })
	notion := newService(t)
	c := newCluster(t, pgtest.For(t, pgtest.Options{}), oidcLines(idp, "allow group:staff")+"identity anonymous\n"+
		strings.Replace(notion.server("optional"), "/mcp http", "/notion http", 1)+"server a /mcp "+up.URL+"\n", "")
	c.listening()
	c.identity, c.browser = "elsewhere", c.browserTo(idp)
	jane := &employee{instance: c.instance, idp: idp}
	asked := func() {
		jane.later(due)
	}
	for name, ends := range map[string]func(){
		"removed":     func() { idp.Disable("jane"); asked() },
		"other group": func() { idp.Change(func() { idp.People["jane"]["groups"] = []string{"alumni"} }); asked() },
		"by an operator": func() {
			admin(t, c.admin, "DELETE", "/mcp_oauth/people?subject=oidc:idp:jane", http.StatusOK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			jane.answer = c.signIn("client", c.url+"/mcp")
			jane.token = accessToken(t, jane.answer)
			stream := c.openAtPeer(jane.token)
			ends()
			c.within(atOnce, http.StatusUnauthorized, jane.token)
			endsSoon(t, stream.Body)
			idp.Change(func() { idp.People["jane"] = oauthtest.Object{"groups": []string{"staff"}} })
		})
	}
}

// A virtual key that leaves the configuration of one instance ends what it approved at
// the other, although that has it still; so does a registration that is deleted, and
// its client is unknown there.
func TestWithdrawnAtOneInstance_E17_E18(t *testing.T) {
	up, next := eventStream(t)
	t.Cleanup(func() { close(next) })
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
		if got := status(t, res, http.StatusBadRequest); !strings.Contains(got, "not known") {
			t.Errorf("it is known still: %s", got)
		}
	})
	t.Run("a virtual key of the configuration", func(t *testing.T) {
		withdrawn, stays := signIn("bob"), signIn("alice")
		stream, other := c.openAtPeer(withdrawn), c.openAtPeer(stays)
		c.lines = people("alice") + server
		c.load(c.file())
		c.within(atOnce, http.StatusUnauthorized, withdrawn)
		endsSoon(t, stream.Body)
		next <- "still here"
		if got, err := readEvent(other.Body); got != "still here" {
			t.Errorf("got %q, %v", got, err)
		}
		status(t, c.atPeer("POST", initialize, keyOf("bob")), http.StatusOK) // by the configuration that it has
	})
}

