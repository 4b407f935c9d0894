//go:build postgres

package caddymodule

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// waits counts, for each step, how often a request of it waited for the database.
type waits struct {
	t     *testing.T
	relay *pgtest.Relay
	next  http.RoundTripper
	least map[string]uint64
}

// RoundTrip implements http.RoundTripper, for the requests of a browser.
func (c *waits) RoundTrip(r *http.Request) (res *http.Response, err error) {
	c.during(r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/oauth/per-user"), func() { res, err = c.next.RoundTrip(r) })
	return res, err
}

// during counts what do waits. Others ask the database now and then, so the least of
// several times counts.
func (c *waits) during(step string, do func()) {
	before := c.relay.Trips()
	do()
	took := c.relay.Trips() - before
	c.t.Logf("%d %s", took, step)
	if least, known := c.least[step]; !known || took < least {
		c.least[step] = took
	}
}

// Each step of a sign-in waits for the database three times at most, whether or not
// anything is remembered: with a load balancer, each step may be another instance's.
func TestRoundTrips(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	relay, err := server.Relay(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	notion := newService(t)
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	file := g.onPostgres(people("alice")+"identity user_id\n"+notion.server(), relay.DSN())
	// It is told of nothing, as that would be counted too.
	g.load(strings.Replace(file, "stale_for 0", "stale_for 0\nlisten_dsn \"host=127.0.0.1 port=1 user=postgres dbname=postgres\"", 1))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	// Nor does it tell others anything: nobody waits for that.
	processStates.Range(func(_, value any) bool {
		value.(*processState).connections.Tell.Store(nil)
		return true
	})
	all := map[string]uint64{}
	for _, way := range []string{"vk", "user-id", "skip"} {
		count := &waits{t: t, relay: relay, least: map[string]uint64{}}
		for range 6 {
			signInCounted(g, count, way)
		}
		for step, n := range count.least {
			all[way+": "+step] = n
		}
	}
	for _, step := range slices.Sorted(maps.Keys(all)) {
		t.Logf("%d %s", all[step], step)
		if all[step] > 3 {
			t.Errorf("%s waits for the database %d times, want 3 at most", step, all[step])
		}
	}
}

// signInCounted registers a client, lets somebody sign in and connect an account, and
// uses, refreshes and revokes its tokens.
func signInCounted(g *instance, count *waits, way string) {
	g.t.Helper()
	a := g.app("counted", "")
	a.address = ""
	p := a.user("alice")
	count.next = p
	p.browser.Client.Transport = count
	count.during("register", func() { a.registers(http.StatusCreated, nil) })
	typed := url.Values{"vk": {keyOf("alice")}, "user_id": {"bob"}}
	page := p.browser.Submit(g.t, a.opens(p), "/api/oauth/per-user/consent/"+way, typed)
	page = p.browser.Submit(g.t, page, "/api/oauth/per-user/upstream/authorize", url.Values{"server": {"notion"}})
	done := p.browser.Submit(g.t, page, "/api/oauth/per-user/consent/submit", url.Values{"decision": {"approve"}})
	if done.Leaving == nil {
		g.t.Fatalf("status %d, want a redirect to the client: %s", done.Status, done.Text())
	}
	count.during("token", func() { a.redeems(http.StatusOK, done.Leaving.Query().Get("code")) })
	count.during("call", func() { a.call(a.access, http.StatusOK) })
	count.during("refresh", func() { a.refreshes(http.StatusOK, a.refreh) })
	for _, token := range []string{a.access, a.refreh} {
		count.during(fmt.Sprintf("revoke %.6s", token), func() {
			status(g.t, a.send("POST", "/api/oauth/per-user/revoke", url.Values{"token": {token}, "client_id": {a.id}}.Encode(), "Content-Type", formType), http.StatusOK)
		})
	}
}
