package caddymodule

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway/upstream"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/encryptionkey"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// atWork runs test with what a process shares, on a clock of its own.
func atWork(t *testing.T, opener storage.Opener, active func() *App, test func(*testing.T, *processState)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store, err := opener.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p := newProcessState(store, active)
		defer func() { // also after a Fatal
			if err := p.Destruct(); err != nil {
				t.Error(err)
			}
		}()
		test(t, p)
	})
}

func noApp() *App { return nil }

// silent is a transport of reverse_proxy to a server that sends the headers of an event
// stream, and then nothing.
type silent struct{}

func init() { caddy.RegisterModule(silent{}) }

func (silent) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.silent", New: func() caddy.Module { return new(silent) }}
}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.Pipe()
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: body, ContentLength: -1, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// E18: by itself, and within five seconds, the process ends the streams of those
// who would not pass any more.
func TestStreamsAreCheckedByThemselves_E18(t *testing.T) {
	h := resolvedHandler(t, nil, func(s *config.Server) {
		s.ReverseProxy = json.RawMessage(`{"transport":{"protocol":"silent"},"flush_interval":-1}`)
	})
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := gateway.NewProxy(ctx, h.cfg.Servers[0], new(upstream.Conns))
	if err != nil {
		t.Fatal(err)
	}
	h.forwarders = []gateway.Forwarder{proxy}
	app := &App{opener: new(MemoryStorage), log: zap.NewNop()}
	atWork(t, new(MemoryStorage), func() *App { return app }, func(t *testing.T, p *processState) {
		site, servers := newSite(h, p, stubKeys)
		h.site.Store(site)
		if err := app.keep(nil, p, stubKeys); err != nil {
			t.Fatal(err)
		}
		app.sites.opened(h.cfg.Issuer, site, servers)
		token, err := storeToken(p.store, "1")
		if err != nil {
			t.Fatal(err)
		}
		r := newCall(token)
		r.Method = http.MethodGet
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.ServerCtxKey, new(caddyhttp.Server))) // as reverse_proxy needs it
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "192.0.2.1")
		caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, false)
		var ended atomic.Bool
		go func() {
			defer ended.Store(true)
			if err := h.ServeHTTP(httptest.NewRecorder(), r, nil); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(3*recheckInterval + time.Millisecond) // they were looked after just now
		synctest.Wait()
		if n := p.Streams.Len(); n != 1 || ended.Load() {
			t.Fatalf("%d streams, ended: %t; want one that is open", n, ended.Load())
		}
		revoked, err := p.store.RevokeGrant(t.Context(), "1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		p.tokens.Forget(revoked)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !ended.Load() {
			t.Error("five seconds after the revocation the stream is still open")
		}
	})
}

// Expired records are removed by themselves.
func TestRecordsAreSweptByThemselves(t *testing.T) {
	atWork(t, new(MemoryStorage), noApp, func(t *testing.T, p *processState) {
		client := storage.Client{ID: "client", Issuer: "https://a.example", ExpiresAt: time.Now().Add(time.Second)}
		if err := p.store.CreateClient(t.Context(), client, storage.Unused{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(sweepInterval + time.Second)
		synctest.Wait()
		if left, err := p.store.Sweep(t.Context(), time.Now()); err != nil || left != 0 {
			t.Errorf("%d expired records are left, %v", left, err)
		}
	})
}

// countsDue counts how often the queue of revocations is asked for what is due.
type countsDue struct {
	storage.Store
	asked atomic.Int64
}

func (s *countsDue) DueRevocations(context.Context, string, int, time.Time, time.Time) ([]storage.ProviderRevocation, error) {
	s.asked.Add(1)
	return nil, nil
}

// Providers are told again by themselves, by the configuration that serves.
func TestRevocationsAreRetriedByThemselves(t *testing.T) {
	h := resolvedHandler(t, nil)
	h.forwarders = make([]gateway.Forwarder, 1)
	app := &App{opener: new(MemoryStorage), log: zap.NewNop()}
	atWork(t, new(MemoryStorage), func() *App { return app }, func(t *testing.T, p *processState) {
		store := &countsDue{Store: p.store}
		keys, err := seal.NewKeyring(testKey("a"))
		if err != nil {
			t.Fatal(err)
		}
		site, servers := newSite(h, p, keys)
		site.broker = accounts.New(h.cfg, accounts.Deps{
			Store: store, Keys: keys, Shared: p.connections, Now: time.Now,
			Egress: egress.New(egress.Options{}), Operator: egress.New(egress.Options{}),
		})
		if err := app.keep(nil, p, keys); err != nil {
			t.Fatal(err)
		}
		app.sites.opened(h.cfg.Issuer, site, servers)
		time.Sleep(3*revokeInterval + time.Second)
		synctest.Wait()
		if n := store.asked.Load(); n != 3 {
			t.Errorf("asked %d times in three minutes, want 3", n)
		}
	})
}

// A database that is deleted or replaced while it is open is told of by
// itself, and again as long as that lasts.
func TestLostDatabaseIsToldOf(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp") // whose log it is
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	told := func() int { return strings.Count(g.log(), path+" was deleted while it is open") }
	atWork(t, &BboltStorage{path: path}, noApp, func(t *testing.T, p *processState) {
		time.Sleep(time.Hour)
		if n := told(); n != 0 {
			t.Errorf("told %d times of a file in its place", n)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for minutes, want := range []int{1, 2, 3} {
			time.Sleep(checkInterval + time.Second)
			synctest.Wait()
			if n := told(); n != want {
				t.Errorf("told %d times within %d minutes, want %d", n, minutes, want)
			}
			time.Sleep(time.Minute - checkInterval - time.Second)
		}
	})
}

// What is kept in memory is encrypted with a key that nobody can guess.
func TestKeyOfWhatIsInMemory(t *testing.T) {
	var keys [3][encryptionkey.Size]byte // the first of them is zero
	for i := range keys[1:] {
		atWork(t, new(MemoryStorage), noApp, func(_ *testing.T, p *processState) { keys[i+1] = p.EphemeralKey })
	}
	if keys[0] == keys[1] || keys[1] == keys[2] {
		t.Error("the key is always the same")
	}
}
