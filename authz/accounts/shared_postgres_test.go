//go:build postgres

package accounts

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	pgprocesses "github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest/processes"
)

// K10: fifty calls on each of two processes find the token ended. The provider sees
// one refresh, and all calls get what it gave.
func TestOneRefreshForAllProcesses_K10(t *testing.T) {
	v := newVault(t)
	second := *v
	second.store = &vaultStore{}
	stores := pgprocesses.Open(t, 2)
	v.store.Store, second.store.Store = stores[0], stores[1]
	other := second.instance()
	v.refresher.pause, other.refresher.pause = v.deps.Shared.pause, other.deps.Shared.pause
	v.connectAs(alice, "notion")
	for round := 2; round < 5; round++ {
		v.clock.Advance(time.Hour)
		var calls sync.WaitGroup
		for range 50 {
			for _, at := range []*vaultInstance{v, other} {
				calls.Go(func() { at.wantCall(alice, "notion", fmt.Sprint("at-", round), nil) })
			}
		}
		calls.Wait()
		if n := len(v.provider.Refreshes()); n != round-1 {
			t.Fatalf("%d refreshes after %d times that the token ended", n, round-1)
		}
	}
}

// Two processes connect somebody at a provider for the first time, at the same
// moment: both are the same client there from then on.
func TestOneRegistrationForAllProcesses(t *testing.T) {
	g := newGateway(t)
	second := *g
	second.store = newRecordingStore()
	stores := pgprocesses.Open(t, 2)
	g.store.Store, second.store.Store = stores[0], stores[1]
	second.Broker = New(g.cfg, second.newDeps(egress.New(egress.Options{Loopback: true})))
	var registered atomic.Int64
	g.provider.Page("/register", func(w http.ResponseWriter, r *http.Request) {
		oauthtest.Document(oauthtest.Object{"client_id": fmt.Sprint("dynamic-", registered.Add(1)), "client_secret": "s"})(w, r)
	})
	both := []*gateway{g, &second}
	ids := make([]string, 18)
	start := func(n int) {
		request := g.request()
		request.Owner = fmt.Sprint("person ", n) // who is sent twice would be taken for lost at a provider that forgot us
		ids[n] = both[n%2].start(request).Get("client_id")
	}
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() { start(n) })
	}
	all.Wait()
	start(16)
	start(17)
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("people are sent to the provider as %q; it saw %d registrations", ids, registered.Load())
		}
	}
	t.Logf("%d registrations", registered.Load())
}
