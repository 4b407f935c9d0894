//go:build postgres

package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// Who can write to the database and lets rows of two people change places makes neither
// of them the other: what belongs to a browser, a token or a code is bound to it.
func TestSwappedRows_M02(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	g.load(g.onPostgres(people("alice", "bob")+"server a /mcp "+oauthtest.Serve(t, nil).URL, server.DSN()))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	swap := func(table, key string) {
		t.Helper()
		first, err := server.Text(fmt.Sprintf("select min(encode(%s, 'hex')) from mcp_oauth.%s", key, table))
		last, err2 := server.Text(fmt.Sprintf("select max(encode(%s, 'hex')) from mcp_oauth.%s", key, table))
		if err := errors.Join(err, err2); err != nil || first == last {
			t.Fatalf("there are no two %s: %v", table, err)
		}
		for _, move := range [][2]string{{first, ""}, {last, first}, {"", last}} { // no two rows have one key
			if err := server.Exec(fmt.Sprintf(`update mcp_oauth.%s set %s = '\x%s' where %[2]s = '\x%[4]s'`, table, key, move[1], move[0])); err != nil {
				t.Fatal(err)
			}
		}
		stateOf(t, g).tokens.ForgetAll()
	}
	client := g.app("swapped", "")
	client.registers(http.StatusCreated, nil)
	names := []string{"alice", "bob"}

	t.Run("browser sessions", func(t *testing.T) {
		var both []*person
		for _, name := range names {
			p := g.person(name)
			if page := p.accountPage(); !strings.Contains(page, name) {
				t.Fatalf("%s is not signed in: %s", name, page)
			}
			both = append(both, p)
		}
		swap("browser_sessions", "id")
		for _, p := range both {
			if page := p.visit(g.url + "/oauth/account"); !strings.Contains(page.Body, `name="vk"`) || strings.Contains(page.Text(), "You are") {
				t.Errorf("%s is signed in with another's session: %s", p.name, page.Text())
			}
		}
	})
	t.Run("tokens", func(t *testing.T) {
		type issued struct{ access, refresh string }
		var both []issued
		for _, name := range names {
			client.redeems(http.StatusOK, client.approves(client.user(name)))
			client.call(client.access, http.StatusOK)
			both = append(both, issued{client.access, client.refreh})
		}
		swap("access_tokens", "hash")
		for _, tokens := range both {
			client.call(tokens.access, http.StatusUnauthorized)
		}
		swap("access_tokens", "hash")
		swap("refresh_tokens", "hash")
		for _, tokens := range both {
			if got := client.refreshes(http.StatusServiceUnavailable, tokens.refresh); strings.Contains(got, "access_token") {
				t.Errorf("a refresh token in another's row yields %s", got)
			}
		}
		swap("refresh_tokens", "hash")
		for _, tokens := range both {
			client.refreshes(http.StatusOK, tokens.refresh)
		}
	})
}
