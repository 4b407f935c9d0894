//go:build postgres

package caddymodule

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// connections counts what is open at the database.
func connections(t *testing.T, server *pgtest.Server) int {
	t.Helper()
	text, err := server.Text("select count(*)::text from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ofTheStore returns what works for a store on PostgreSQL.
func ofTheStore() (stacks []string) {
	buf := make([]byte, 8<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "/storage/pgstore") || strings.Contains(stack, "jackc/pgx") || strings.Contains(stack, "propagation.(*Process)") {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// N01: reloads leave nothing behind, whether the database is the same or opened anew
// with other bounds. N02: neither does a stop, while the database is there or hangs.
func TestReloadsOnPostgres_N01_N02(t *testing.T) {
	for name, hangs := range map[string]bool{"at work": false, "the database hangs": true} {
		t.Run(name, func(t *testing.T) {
			server := pgtest.For(t, pgtest.Options{})
			g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
			g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
			lines := alice + "server a /mcp " + oauthtest.Serve(t, nil).URL
			n := 0
			reload := func(times int) (goroutines, files, open int) {
				for range times {
					n++
					bound := fmt.Sprint("max_connections ", 5+n/2%2) // each is loaded twice
					g.load(strings.Replace(g.onPostgres(lines, server.DSN()), "max_connections 5", bound, 1))
				}
				status(t, g.call("POST", "/mcp", initialize), 200)
				return settled(runtime.NumGoroutine), settled(openFiles), connections(t, server)
			}
			times := 50
			if hangs {
				times = 2
			}
			goroutines, files, open := reload(4)
			moreGoroutines, moreFiles, moreOpen := reload(times)
			t.Logf("%d goroutines, %d files, %d connections; after %d reloads %d, %d, %d", goroutines, files, open, times, moreGoroutines, moreFiles, moreOpen)
			if moreGoroutines > goroutines+10 || moreFiles > files+10 || moreOpen > 6+2 {
				t.Errorf("%d reloads leave %d goroutines, %d files and %d connections", times, moreGoroutines-goroutines, moreFiles-files, moreOpen-open)
			}
			if hangs {
				if err := server.Pause(); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := server.Continue(); err != nil {
						t.Error(err)
					}
				}()
			}
			began := time.Now()
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
			took := time.Since(began)
			t.Logf("stopped after %v", took)
			if took > 15*time.Second {
				t.Errorf("it takes %v to stop", took)
			}
			var left []string
			for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				if left = ofTheStore(); len(left) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
				}
			}
			if !hangs {
				if n := connections(t, server); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			}
		})
	}
}
