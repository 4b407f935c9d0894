package caddymodule

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
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
		test(t, p)
		if err := p.Destruct(); err != nil {
			t.Error(err)
		}
	})
}

func noApp() *App { return nil }

// E18: by itself, and within seconds, the process ends the streams of those
// who would not pass any more.
func TestStreamsAreCheckedByThemselves_E18(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	stream := g.call("GET", "/mcp", "", "Authorization", "Bearer "+token).Body
	if got, err := readEvent(stream); got != "open" {
		t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}
	g.revoke(token)
	began := time.Now()
	if got, err := readEvent(stream); !errors.Is(err, io.EOF) {
		t.Errorf("after revocation: %q, %v", got, err)
	}
	// A busy machine may miss one turn.
	if took := time.Since(began); took > 2*recheckInterval || recheckInterval > 5*time.Second {
		t.Errorf("ended after %v, want 5s at most on a machine with time", took)
	}
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
	app := new(App)
	atWork(t, new(MemoryStorage), func() *App { return app }, func(t *testing.T, p *processState) {
		store := &countsDue{Store: p.store}
		keys, err := seal.NewKeyring(testKey("a"))
		if err != nil {
			t.Fatal(err)
		}
		broker := accounts.New(&config.Site{Issuer: "https://a.example"}, accounts.Deps{
			Store: store, Keys: keys, Shared: p.connections, Now: time.Now,
			Egress: egress.New(egress.Options{}), Operator: egress.New(egress.Options{}),
		})
		app.mu.Lock()
		app.state = p
		app.mu.Unlock()
		app.sites.opened("https://a.example", &site{broker: broker}, nil)
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
