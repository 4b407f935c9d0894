//go:build postgres

package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore"
)

// onPostgres is a Caddyfile of the harness with another store.
func (g *instance) onPostgres(lines, dsn string) string {
	file := fmt.Sprintf("storage bbolt {\n\t\t\tpath %s\n\t\t}", g.db())
	return strings.Replace(g.caddyfile(lines), file, "storage postgres \""+dsn+"\" {\n\t\t\tmax_connections 5\n\t\t\tstale_for 0\n\t\t}", 1)
}

// People sign in and call with their records in PostgreSQL. While it is away
// sites answer 503, and go on without a restart.
func TestPostgres_D14(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	lines := alice + "server a /mcp " + oauthtest.Serve(t, nil).URL
	load := func() { g.load(g.onPostgres(lines, server.DSN())) }
	load()
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	call := func(want int) {
		t.Helper()
		status(t, g.call("POST", "/mcp", "{}", "Authorization", "Bearer "+token), want)
	}
	call(200)
	opened := stateOf(t, g)
	load()
	if stateOf(t, g) != opened {
		t.Error("a reload with the same settings opened the database anew")
	}
	call(200)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	never := "Bearer " + token[:len(token)-1] + "x" // not in a cache
	for range 2 {
		if res := g.call("POST", "/mcp", "{}", "Authorization", never); res.StatusCode == 200 {
			t.Errorf("a token that was not issued gets %s", res.Status)
		}
	}
	time.Sleep(5100 * time.Millisecond) // what the cache remembers
	call(503)
	if err := server.Run(); err != nil {
		t.Fatal(err)
	}
	oauthtest.Eventually(t, "calls do not pass again", func() bool {
		return g.call("POST", "/mcp", "{}", "Authorization", "Bearer "+token).StatusCode == 200
	})
}

// While the database hangs, calls and an open stream go on for stale_for, sign-ins are
// told at once to come back, and so are load balancers; then the stream ends and calls
// are told so too. The log says once that it is away, and once that it is back, without
// a restart.
func TestPostgresIsAway_E16(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	streams, next := eventStream(t)
	defer close(next)
	lines := alice + "server a /mcp " + oauthtest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			streams.Config.Handler.ServeHTTP(w, r)
		}
	}).URL
	const staleFor = 12 * time.Second
	g.load(strings.Replace(g.onPostgres(lines, server.DSN()), "stale_for 0", "stale_for "+staleFor.String(), 1))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	answer := g.signIn("client", g.url+"/mcp")
	token := accessToken(t, answer)
	call := func() int {
		return g.call("POST", "/mcp", "{}", "Authorization", "Bearer "+token).StatusCode
	}
	open := func() io.ReadCloser {
		t.Helper()
		res := g.call("GET", "/mcp", "", "Authorization", "Bearer "+token)
		if got, err := readEvent(res.Body); got != "open" {
			t.Fatalf("a stream begins with %q, %v", got, err)
		}
		return res.Body
	}
	passes := func(stream io.Reader, data string) {
		t.Helper()
		next <- data
		if got, err := readEvent(stream); got != data {
			t.Fatalf("got %q, %v; want %q", got, err, data)
		}
	}
	stream := open()
	passes(stream, "before")
	// What was confirmed up to five seconds before would go on for less than stale_for
	// from now on.
	stateOf(t, g).tokens.ForgetAll()
	if got := call(); got != 200 {
		t.Fatal(got)
	}
	began := time.Now()
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	oauthtest.Eventually(t, "it stays ready", func() bool { return readiness() != nil })
	t.Logf("noticed after %v", time.Since(began))
	refused := time.Now()
	g.refresh(answer, 503)
	if took := time.Since(refused); took > 2*time.Second {
		t.Errorf("a refresh is told only after %v", took)
	}
	time.Sleep(time.Until(began.Add(6 * time.Second))) // the cache alone knows it for five
	if got := call(); got != 200 {
		t.Errorf("after six seconds a call gets %d", got)
	}
	passes(stream, "meanwhile")
	time.Sleep(time.Until(began.Add(staleFor + 100*time.Millisecond)))
	if res := g.call("POST", "/mcp", "{}", "Authorization", "Bearer "+token); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("after stale_for a call gets %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	if got, err := readEvent(stream); err == nil { // it is looked after every five seconds
		t.Errorf("after stale_for the stream brings %q", got)
	} else if ended, most := time.Since(began), staleFor+recheckInterval+2*time.Second; ended > most {
		t.Errorf("the stream ended after %v, want %v at most: stale_for, until it is looked after again, and a moment", ended, most)
	} else {
		t.Logf("the stream ended after %v", ended)
	}
	if err := server.Continue(); err != nil {
		t.Fatal(err)
	}
	oauthtest.Eventually(t, "it does not come back", func() bool { return call() == 200 && readiness() == nil })
	passes(open(), "afterwards")
	g.refresh(answer, 200)
	for _, once := range []string{"the store cannot be reached", "the store works again"} {
		if n := strings.Count(g.log(), `"msg":"`+once+`"`); n != 1 {
			t.Errorf("the log says %s %d times", once, n)
		}
	}
	if strings.Contains(g.log(), `"store.failed"`) {
		t.Errorf("the log says more of it:\n%s", g.log())
	}
}

// A database that cannot be used when Caddy starts is told of with what to do,
// and the sites come when it can be.
func TestPostgresComesLater(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	dsn := strings.Replace(server.DSN(), "dbname=postgres", "dbname=later password=canary", 1)
	g.load(g.onPostgres(alice+"server a /mcp "+oauthtest.Serve(t, nil).URL, dsn))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	status(t, g.call("POST", "/mcp", "{}"), 503)
	log := g.log()
	if want := `there is no database \"later\"; create it: CREATE DATABASE later`; !strings.Contains(log, want) {
		t.Errorf("the log does not say %s:\n%s", want, log)
	}
	if strings.Contains(log, "canary") {
		t.Error("the password is in the log")
	}
	if err := server.Exec("create database later"); err != nil {
		t.Fatal(err)
	}
	oauthtest.Eventually(t, "the site does not come", func() bool { return g.call("POST", "/mcp", "{}").StatusCode == 200 })
}

// Keys that are made at run time are those of all processes on a database. What
// another takes back is gone here within seconds. While the database is away, they
// are trusted for a while, and those of the configuration go on.
func TestVirtualKeyOnPostgres_D09(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	addr := freeAddr(t)
	lines := people("bob") + "server a /mcp " + oauthtest.Serve(t, nil).URL
	g.load(strings.Replace(g.onPostgres(lines, server.DSN()), "admin off", "admin "+addr, 1))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	made := adminKey(t, addr, "POST", "/mcp_oauth/keys", `{"name":"alice"}`, 201)
	g.callWith("/mcp", made.Key, 200)
	answer := g.signInWith(made.Key)

	options, err := pgstore.Parse(pgstore.Options{DSN: server.DSN()})
	if err != nil {
		t.Fatal(err)
	}
	other, err := pgstore.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	disable := func(disabled bool) {
		t.Helper()
		all, _, err := other.VirtualKeys(t.Context(), g.url)
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
		all[0].Disabled = disabled
		all[0].Withdrawn++
		if _, v, err := other.PutVirtualKey(t.Context(), all[0]); err != nil || v != storage.OK {
			t.Fatal(v, err)
		}
	}
	disable(true)
	oauthtest.Eventually(t, "the grant does not end", func() bool { return len(grantsAt(t, addr, "?subject=virtual_key:alice").Grants) == 0 })
	g.callWith("/mcp", made.Key, 401)
	g.callWith("/mcp", accessToken(t, answer), 401)
	disable(false)
	oauthtest.Eventually(t, "calls do not pass again", func() bool {
		return g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+made.Key).StatusCode == 200
	})
	g.refresh(answer, 400)

	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	g.callWith("/mcp", made.Key, 200)
	time.Sleep(16 * time.Second)
	g.callWith("/mcp", made.Key, 503)
	g.callWith("/mcp", keyOf("bob"), 200)
	if got := admin(t, addr, "GET", "/mcp_oauth/keys", 503); strings.Contains(got, "bob") {
		t.Errorf("got %s", got)
	}
	if err := server.Run(); err != nil {
		t.Fatal(err)
	}
	oauthtest.Eventually(t, "calls do not pass again", func() bool {
		return g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+made.Key).StatusCode == 200
	})
}

// Another password, other bounds: a reload takes them on, with the same records. A
// configuration whose settings do not work is refused.
func TestReloadTakesOnDatabaseSettings_N01(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	up, next := eventStream(t)
	defer close(next)
	lines := alice + "server a /mcp " + up.URL
	sessionsOf := func(program string) string {
		t.Helper()
		out, err := server.Text("select count(*)::text from pg_stat_activity where application_name = '" + program + "'")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	g.load(g.onPostgres(lines, server.DSN()+" application_name=first"))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	stream := g.call("GET", "/mcp", "", "Authorization", "Bearer "+token).Body
	if got, err := readEvent(stream); got != "open" {
		t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}

	err := loadCaddyfile(g.onPostgres(lines, server.DSN()+" application_name=refused options='-c no_such=1'"))
	if err == nil {
		t.Error("settings that the database refuses are taken")
	}
	if n := sessionsOf("first"); n == "0" {
		t.Error("a refused configuration ended the connections of the one that serves")
	}

	g.load(g.onPostgres(lines, server.DSN()+" application_name=second"))
	stateOf(t, g).recheck(t.Context())
	next <- "after"
	if got, err := readEvent(stream); got != "after" {
		t.Errorf("got %v, error %v; want %v", got, err, "after")
	}
	res := g.call("POST", "/mcp", "{}", "Authorization", "Bearer "+token)
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("a token from before gets %s", res.Status)
	}
	oauthtest.Eventually(t, "the former connections stay", func() bool { return sessionsOf("first") == "0" })
	if sessionsOf("second") == "0" {
		t.Error("the new settings are not taken on")
	}
}
