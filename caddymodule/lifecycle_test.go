package caddymodule

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

// M11: `caddy validate` works while another process has the database.
func TestDatabaseInUse_M11(t *testing.T) {
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.logs = filepath.Join(g.dir, "caddy.log")
	store, err := boltstore.Open(g.db(), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	text := g.caddyfile(alice + "server a /mcp http://127.0.0.1:1/mcp")
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&cfg); err != nil {
		t.Errorf("validate beside a running server: %v", err)
	}
}

// A configuration that cannot start leaves the old one at work, with its store.
func TestFailedReloadKeepsServing(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	good := g.caddyfile(alice + "server a /mcp " + up.URL)
	for name, bad := range map[string]struct{ text, why string }{
		"store cannot be opened":  {strings.Replace(good, g.db(), "/dev/null/mcp_oauth.db", 1), "/dev/null"},
		"upstream header missing": {g.caddyfile(alice + "server a /mcp " + up.URL + " {\nauth headers {\nAuthorization {env.NO_SUCH_VARIABLE}\n}\n}"), "Authorization: {env.NO_SUCH_VARIABLE}: the environment variable is not set"},
		"a later app fails":       {strings.Replace(good, "bind 127.0.0.1", "bind 192.0.2.1", 1), "cannot assign requested address"},
	} {
		if err := loadCaddyfile(bad.text); err == nil || !strings.Contains(err.Error(), bad.why) {
			t.Errorf("%s: %v, want %s", name, err, bad.why)
		}
		status(t, g.call("POST", "/mcp", initialize), http.StatusOK)
		if refs := processStates.Users("bbolt " + g.db()); refs != 1 {
			t.Errorf("%s: %d references to the store", name, refs)
		}
	}
}

// N01, N02, M11: reloads under load lose no request, and leave nothing behind.
func TestReloadUnderLoad_N01_N02_M11(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	// A unix socket, which Caddy hands on. Of a TCP port it opens another
	// listener, and connections waiting at the old one are lost, with or
	// without us.
	socket := filepath.Join(g.dir, "s")
	text := strings.Replace(g.caddyfile(alice+"server a /mcp "+up.URL), "bind 127.0.0.1", "bind unix/"+socket, 1)
	g.load(text)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	var failures, requests atomic.Int64
	var stop atomic.Bool
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
			for !stop.Load() {
				req, _ := http.NewRequest("POST", g.url+"/mcp", strings.NewReader(initialize))
				req.Header.Set("Authorization", "Bearer "+aliceKey)
				res, err := client.Do(req)
				if err != nil {
					// Go's server hangs up on what it has not read when it
					// shuts down. Nothing happened; clients send it again.
					if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
						t.Error(err)
					}
					continue
				}
				if res.Body.Close(); res.StatusCode != http.StatusOK {
					failures.Add(1)
				}
				requests.Add(1)
			}
		})
	}
	reload := func(n int) (goroutines, files int) {
		for range n {
			g.load(text)
		}
		return settled(runtime.NumGoroutine), settled(openFiles)
	}
	reload(50)
	stop.Store(true)
	clients.Wait()
	if requests.Load() < 50 || failures.Load() > 0 {
		t.Errorf("%d of %d requests failed", failures.Load(), requests.Load())
	}
	if passed := up.Hits(); passed != int(requests.Load()) {
		t.Errorf("%d requests passed, and %d were answered", passed, requests.Load())
	}
	goroutines, files := reload(5)
	moreGoroutines, moreFiles := reload(50)
	if moreGoroutines > goroutines+10 || moreFiles > files+10 {
		t.Errorf("50 reloads leave %d goroutines and %d files", moreGoroutines-goroutines, moreFiles-files)
	}
	if refs := processStates.Users("bbolt " + g.db()); refs != 1 {
		t.Errorf("%d references to the store", refs)
	}
}

// settled returns the lowest value that f takes within a short while: what is
// being shut down is no leak.
func settled(f func() int) int {
	low := f()
	for deadline := time.Now().Add(200 * time.Millisecond); time.Now().Before(deadline); runtime.Gosched() {
		low = min(low, f())
	}
	return low
}

// openFiles counts file descriptors where the system tells them.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

func stateOf(t *testing.T, g *instance) *processState {
	t.Helper()
	state, _, err := activeApp().open()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// A request goes on when its configuration is gone, store and all.
func TestRequestOutlivesItsConfiguration(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	up := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- true
		<-release
		_, _ = io.WriteString(w, "late")
	})
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	old := activeHandler(t)
	done := make(chan string)
	go func() { done <- status(t, g.call("POST", "/mcp", initialize), http.StatusOK) }()
	<-arrived
	g.load("{\nadmin off\npersist_config off\n}\nhttp://" + freeAddr(t) + " {\nbind 127.0.0.1\nrespond ok\n}")
	close(release)
	if got := <-done; got != "late" {
		t.Errorf("got %q", got)
	}
	if processStates.Users("bbolt "+g.db()) != 0 {
		t.Error("the store is still open")
	}
	// E16: what still reaches the old handler is refused, and opens nothing.
	old.site.Store(nil)
	if _, err := old.open(); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("%v: a replaced configuration opened its store again", err)
	}
}

func activeHandler(t *testing.T) *Handler {
	t.Helper()
	app := activeApp()
	if app == nil || len(app.sites.handlers) == 0 {
		t.Fatal("no handler is active")
	}
	return app.sites.handlers[0]
}

// E16: without its store the gate lets nothing pass.
func TestStoreDown_E16(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	if err := stateOf(t, g).store.Close(); err != nil {
		t.Fatal(err)
	}
	before := up.Hits() // the page has asked for tools
	res := g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token)
	status(t, res, http.StatusServiceUnavailable)
	if res.Header.Get("Retry-After") == "" || up.Hits() != before {
		t.Errorf("Retry-After %q; %d requests passed", res.Header.Get("Retry-After"), up.Hits()-before)
	}
	old := activeHandler(t)
	old.site.Store(nil)
	old.app.mu.Lock()
	state := old.app.state
	old.app.state, old.app.released = nil, true
	old.app.mu.Unlock()
	status(t, g.call("POST", "/mcp", initialize), http.StatusServiceUnavailable)
	status(t, g.call("GET", "/nothing", ""), http.StatusOK) // of no concern to us
	old.app.mu.Lock()
	old.app.state, old.app.released = state, false
	old.app.mu.Unlock()
}
