package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// hangingProvider takes revocations and never answers.
type hangingProvider struct {
	*oauthtest.Host
	now, most, seen atomic.Int32
	release         chan struct{}
}

func newHangingProvider(t *testing.T) *hangingProvider {
	p := &hangingProvider{Host: oauthtest.NewHost(t), release: make(chan struct{})}
	p.Page("/revoke", func(http.ResponseWriter, *http.Request) {
		p.seen.Add(1)
		p.most.Store(max(p.most.Load(), p.now.Add(1)))
		<-p.release
		p.now.Add(-1)
		panic(http.ErrAbortHandler)
	})
	t.Cleanup(func() { close(p.release) }) // before the host closes
	return p
}

// at has what is connected revoked at another provider.
func (v *vaultInstance) at(p *oauthtest.Host) func(*storage.Connection, *secrets) {
	v.deps.Egress = egress.New(egress.Options{Loopback: true})
	return func(_ *storage.Connection, s *secrets) { s.Binding.RevocationEndpoint = p.URL + "/revoke" }
}

// queueMany makes connections and ends them without telling the provider, so
// that all that is to be revoked stands in the store's queue.
func (v *vaultInstance) queueMany(owner string, n int, change ...func(*storage.Connection, *secrets)) {
	v.t.Helper()
	for i := range n {
		k := fmt.Sprint(owner, i)
		v.connectAs(k, "notion", change...)
		c := v.record(k, "notion")
		if _, verdict, err := v.store.Disconnect(v.t.Context(), c, v.revocationOf(c), v.clock.Now()); verdict != storage.OK || err != nil {
			v.t.Fatalf("got %v, error %v; want %v", verdict, err, storage.OK)
		}
	}
}

func (v *vaultInstance) awaitRevoked(n int) {
	v.t.Helper()
	oauthtest.Eventually(v.t, fmt.Sprintf("fewer than %d tokens are revoked", n), func() bool { return len(v.provider.Revocations()) >= n })
}

// A provider that hangs keeps only its own revocations waiting: neither the
// others that are due, however many of its own stand before them, nor what
// somebody disconnects now.
func TestHangingProviderStallsNobody(t *testing.T) {
	v := newVault(t)
	slow := newHangingProvider(t)
	v.queueMany("user_id:slow", 200, v.at(slow.Host))
	v.clock.Advance(time.Second)
	v.queueMany("user_id:good", 100)
	ctx, stop := context.WithCancel(t.Context())
	turned := make(chan error)
	go func() { turned <- v.RevokeDue(ctx) }()
	v.awaitRevoked(200)

	v.connectAs(alice, "notion")
	v.connectAs(bob, "notion", v.at(slow.Host))
	for _, owner := range []string{bob, alice} {
		if err := v.Disconnect(t.Context(), owner, "notion"); err != nil {
			t.Fatal(err)
		}
	}
	v.awaitRevoked(202)
	if n := slow.most.Load(); n == 0 || n > revocationsAtOnce {
		t.Errorf("%d requests at once, want 1 to %d", n, revocationsAtOnce)
	}
	stop()
	if err := <-turned; !errors.Is(err, context.Canceled) {
		t.Errorf("the turn ended with %v", err)
	}
}

// What a provider did not answer is left alone until later, together with what
// stands behind it; then it is told.
func TestSilentProviderIsLeftAlone(t *testing.T) {
	v := newVault(t)
	v.queueMany("user_id:p", 100)
	v.provider.Fail(oauthtest.Fault{Answer: oauthtest.HangUp}, oauthtest.Fault{Answer: oauthtest.HangUp}, oauthtest.Fault{Answer: oauthtest.HangUp}, oauthtest.Fault{Answer: oauthtest.HangUp})
	v.revokeDue()
	if n := len(v.provider.Revocations()); n > 2*revocationsAtOnce {
		t.Errorf("%d tokens revoked after no answer", n)
	}
	v.provider.Fail()
	v.clock.Advance(revocationStep)
	v.revokeDue()
	if n := len(v.provider.Revocations()); n != 200 {
		t.Errorf("%d tokens revoked, want 200", n)
	}
}

// What was disconnected just now goes before what waits for the same provider.
func TestJustDisconnectedGoesFirst(t *testing.T) {
	v := newVault(t)
	gate := make(chan struct{})
	entered := make(chan string, 1000)
	p := oauthtest.NewHost(t)
	p.Page("/revoke", func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		entered <- r.PostForm.Get("token")
		<-gate
	})
	v.queueMany("user_id:p", 50, v.at(p))
	turned := make(chan error)
	go func() { turned <- v.RevokeDue(t.Context()) }()
	for range revocationsAtOnce {
		<-entered
	}
	token := v.connectAs(alice, "notion", v.at(p))
	if err := v.Disconnect(t.Context(), alice, "notion"); err != nil {
		t.Fatal(err)
	}
	// One request is answered for each that comes, in their order: none of them
	// can be overtaken because its goroutine had to wait for a processor.
	place := revocationsAtOnce
	for sent := ""; sent != token && place <= 4*revocationsAtOnce; place++ {
		gate <- struct{}{}
		sent = <-entered
	}
	if place > 4*revocationsAtOnce {
		t.Errorf("its access token was not among the first %d", place)
	}
	close(gate)
	if err := <-turned; err != nil {
		t.Fatal(err)
	}
	v.deps.Shared.revocations.Wait()
}

// A process that stops does not wait for a line to end.
func TestCloseLeavesTheLine(t *testing.T) {
	v := newVault(t)
	v.queueMany("user_id:p", 100)
	v.deps.Shared.Close()
	v.revokeDue()
	if n := len(v.provider.Revocations()); n != 0 {
		t.Errorf("%d tokens revoked", n)
	}
	restarted := v.instance()
	restarted.clock.Advance(revocationStep)
	restarted.revokeDue()
	restarted.awaitRevoked(200)
}

// A provider that refuses the hint is told without it; one that refuses all the
// same is named in the log.
func TestRevocationIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		refuses  func(*http.Request) int
		requests int
		logged   bool
	}{
		"takes it": {func(*http.Request) int { return 200 }, 2, false},
		"without hint": {func(r *http.Request) int {
			return map[bool]int{true: 400, false: 200}[r.PostForm.Has("token_type_hint")]
		}, 4, false},
		"not at all": {func(*http.Request) int { return 400 }, 4, true},
		"not us":     {func(*http.Request) int { return 401 }, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			p := oauthtest.NewHost(t)
			p.Page("/revoke", func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				w.WriteHeader(tt.refuses(r))
			})
			v.connectAs(alice, "notion", v.at(p))
			v.disconnect(alice, "notion")
			if n := len(p.Requests("/revoke")); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			logged := false
			for _, e := range v.logs.All() {
				logged = logged || e.ContextMap()["event"] == "revocation.failed"
			}
			if logged != tt.logged {
				t.Errorf("logged %v, want %v", logged, tt.logged)
			}
			v.clock.Advance(time.Hour)
			v.revokeDue()
			if n := len(p.Requests("/revoke")); n != tt.requests {
				t.Errorf("%d requests later", n)
			}
		})
	}
}
