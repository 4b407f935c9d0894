package caddymodule

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// K10: fifty calls at once find the token expired, by its time or because the
// server refuses it, and the provider sees one refresh. So it does when the
// configuration is replaced meanwhile, and half of the calls wait in the old
// one and half in the new.
func TestOneRefreshForEverybody_K10_CL23(t *testing.T) {
	for name, token := range map[string]struct {
		lifetime int
		expire   func(*testing.T, *lab)
	}{
		"expired": {1, func(t *testing.T, _ *lab) {
			all, err := activeHandler(t).site.Load().broker.Overviews(t.Context())
			if err != nil || len(all) != 1 {
				t.Fatal(all, err)
			}
			<-time.After(time.Until(all[0].TokenExpiresAt)) // by the gateway's real clock
		}},
		"refused": {3600, func(_ *testing.T, l *lab) { l.expire() }},
	} {
		for _, reload := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reload %v", name, reload), func(t *testing.T) {
				l := newLab(t)
				lines := people("alice") + l.server()
				g := newGateway(t, lines)
				alice := g.person("alice")
				l.with(func() { l.lifetime = token.lifetime })
				alice.connect("notion")
				token.expire(t, l)
				gate := make(chan struct{})
				l.with(func() { l.lifetime, l.gate = 3600, gate })

				before := activeHandler(t)
				var calls sync.WaitGroup
				call := func(n int) {
					for id := range n {
						calls.Go(func() { alice.wantEcho(fresh, id) })
					}
				}
				call(25)
				awaitRefreshers(t, 25)
				if reload {
					g.load(g.caddyfile(lines + "flow_lifetime 16m\n"))
				}
				call(25)
				awaitRefreshers(t, 50)
				close(gate)
				calls.Wait()
				if replaced := activeHandler(t) != before; replaced != reload {
					t.Errorf("the configuration was replaced: %v", replaced)
				}
				l.with(func() {
					if l.refreshes != 1 {
						t.Errorf("%d refreshes", l.refreshes)
					}
				})
			})
		}
	}
}

// fresh makes each call on a connection of its own.
var fresh = &http.Client{Transport: once}

// awaitRefreshers returns once that many calls wait for a refresh.
func awaitRefreshers(t *testing.T, want int) {
	t.Helper()
	waiting := func() int {
		stacks := make([]byte, 16<<20)
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "accounts.(*vault).awaitRefresh(")
	}
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		n := waiting()
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls wait for a refresh, want %d", n, want)
		}
	}
}
