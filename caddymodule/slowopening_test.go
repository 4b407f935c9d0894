package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

func init() { caddy.RegisterModule(slowStorage{}) }

// slowStorage is a store whose opening takes until somebody lets it end. No list of the
// stores that there are has it: it is in a namespace below theirs.
type slowStorage struct{}

// slowOpening is what the next opening waits for.
var slowOpening struct {
	sync.Mutex
	half chan struct{} // when half is done
	ends chan error    // what it ends with
	open atomic.Int32  // how many go on
}

// loadSlow loads a configuration with such a store, and returns what lets it go on.
func (g *instance) loadSlow(server string) (half chan struct{}, ends chan error) {
	g.t.Helper()
	half, ends = make(chan struct{}), make(chan error)
	slowOpening.Lock()
	slowOpening.half, slowOpening.ends = half, ends
	slowOpening.Unlock()
	g.t.Cleanup(func() { _ = caddy.Stop() })
	if err := caddy.Load(g.onSlow("server a /mcp "+server), true); err != nil {
		g.t.Fatal(err)
	}
	return half, ends
}

// onSlow returns a configuration with such a store.
func (g *instance) onSlow(servers string) []byte {
	g.t.Helper()
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	before, rest, _ := strings.Cut(g.caddyfile(alice+servers), "storage bbolt {")
	_, after, _ := strings.Cut(rest, "}")
	text := before + "encryption_key " + keyText("a") + "\nstorage memory" + after
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return bytes.Replace(config, []byte(`"engine":"memory"`), []byte(`"engine":"test.slow"`), 1)
}

func (slowStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: storageNamespace + ".test.slow", New: func() caddy.Module { return new(slowStorage) }}
}

func (*slowStorage) Key() string   { return "slow" }
func (*slowStorage) Durable() bool { return true }

func (*slowStorage) Open(ctx context.Context) (storage.Store, error) {
	slowOpening.open.Add(1)
	defer slowOpening.open.Add(-1)
	if err := storage.ReportOpening(ctx, 0, 100); err != nil {
		return nil, err
	}
	slowOpening.Lock()
	ends, half := slowOpening.ends, slowOpening.half
	slowOpening.Unlock()
	<-half
	if err := storage.ReportOpening(ctx, 50, 100); err != nil {
		return nil, err
	}
	if err := <-ends; err != nil {
		return nil, err
	}
	return memstore.New(), nil
}

// While the opening of a large store goes on, Caddy is started, the sites answer 503
// at once, and readiness and the log say how far it is. When it is open, they serve,
// also if it had to be tried again.
func TestSlowOpening(t *testing.T) {
	for name, first := range map[string]error{"opens": nil, "is tried again": errors.New("the disk fell off")} {
		t.Run(name, func(t *testing.T) {
			g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
			half, ends := g.loadSlow(oauthtest.Serve(t, nil).URL)
			g.wantComeLater("/mcp")
			status(t, g.call("GET", "/elsewhere", ""), http.StatusOK)
			half <- struct{}{}
			oauthtest.Eventually(t, "readiness does not tell how far it is", func() bool {
				err := readiness()
				return errors.Is(err, errNotOpen) && strings.Contains(err.Error(), "50 %")
			})
			if n := g.logged(`opening the store; the sites with mcp_oauth answer 503 until it is open`); n != 1 {
				t.Errorf("the log tells %d times within seconds how far it is, want once", n)
			}
			ends <- first
			if first != nil {
				oauthtest.Eventually(t, "the failure is not told", func() bool { return g.logged(first.Error()) > 0 })
				half <- struct{}{}
				ends <- nil
			}
			oauthtest.Eventually(t, "the site does not serve, though the store is open", func() bool {
				return g.call("POST", "/mcp", initialize).StatusCode == http.StatusOK
			})
			if err := readiness(); err != nil {
				t.Errorf("readiness: %v, want none", err)
			}
		})
	}
}

// wantComeLater wants 503 at once, several times.
func (g *instance) wantComeLater(path string) {
	g.t.Helper()
	for range 3 {
		within(g.t, "a request waits for the store", func() {
			res := g.call("POST", path, initialize)
			status(g.t, res, http.StatusServiceUnavailable)
			if res.Header.Get("Retry-After") == "" {
				g.t.Error("no Retry-After")
			}
		})
	}
}

// within fails the test if something takes much longer than nothing.
func within(t *testing.T, otherwise string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error(otherwise)
		slowOpening.Lock()
		defer slowOpening.Unlock()
		close(slowOpening.half) // else nobody could stop it
		close(slowOpening.ends)
		<-done
		t.FailNow()
	}
}

// A reload while the store is being opened does not wait for it, and begins nothing anew:
// the new configuration answers as the old one did, and serves when the store is open.
func TestReloadWhileTheStoreIsBeingOpened(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	half, ends := g.loadSlow(up.URL)
	old := activeApp()
	for _, path := range []string{"/second", "/third"} {
		config := g.onSlow("server a " + path + " " + up.URL)
		within(t, "the reload waits for the store", func() {
			if err := caddy.Load(config, true); err != nil {
				t.Error(err)
			}
		})
		g.wantComeLater(path)
	}
	oauthtest.Eventually(t, "configurations that were replaced wait for the store", func() bool {
		return !opens(old) && processStates.Users(old.poolKey()) == 1
	})
	half <- struct{}{}
	oauthtest.Eventually(t, "readiness does not tell how far it is", func() bool {
		err := readiness()
		return errors.Is(err, errNotOpen) && strings.Contains(err.Error(), "50 %")
	})
	g.wantComeLater("/third")
	ends <- nil
	oauthtest.Eventually(t, "the site does not serve, though the store is open", func() bool {
		return g.call("POST", "/third", initialize).StatusCode == http.StatusOK
	})
	hits := up.Hits()
	_, _ = g.call("POST", "/second", initialize), g.call("POST", "/third", initialize)
	if n := up.Hits() - hits; n != 1 {
		t.Errorf("%d of two calls reached the server, want the one of the configuration that was loaded last", n)
	}
	if n := g.logged(`opening the store; the sites with mcp_oauth answer 503 until it is open`); n != 1 {
		t.Errorf("the log tells %d times within seconds how far it is, want once", n)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if users := processStates.Users(old.poolKey()); users != 0 {
		t.Errorf("%d references to the store are left", users)
	}
}

func opens(a *App) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.opening != nil
}

// Configurations that are replaced or stopped while their store is being opened do not
// wait for it, and leave nothing behind. The opening ends when nobody wants it any more;
// who then wants it is told how far that is meanwhile.
func TestStopWhileTheStoreIsBeingOpened(t *testing.T) {
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	half, _ := g.loadSlow("http://127.0.0.1:1/mcp")
	apps := []*App{activeApp()}
	again := g.onSlow("server a /again http://127.0.0.1:1/mcp")
	for range 2 {
		within(t, "the reload waits for the store", func() {
			if err := caddy.Load(again, true); err != nil {
				t.Error(err)
			}
		})
		apps = append(apps, activeApp())
		within(t, "the stop waits for the store", func() {
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	oauthtest.Eventually(t, "a configuration that was stopped waits for the store", func() bool {
		return !slices.ContainsFunc(apps, opens)
	})
	if users := processStates.Users(apps[0].poolKey()); users != 0 {
		t.Errorf("%d references to the store are left", users)
	}
	half <- struct{}{}
	oauthtest.Eventually(t, "the opening does not end", func() bool { return slowOpening.open.Load() == 0 })
}
