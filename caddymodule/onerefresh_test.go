package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// K10: fifty calls at once find the token expired, by its time or because the
// server refuses it, and the provider sees one refresh. So it does when the
// configuration is replaced meanwhile, and half of the calls wait in the old
// one and half in the new.
func TestOneRefreshForEverybody_K10_CL23(t *testing.T) {
	for name, token := range map[string]struct {
		lifetime int
		expire   func(*testing.T, *service)
	}{
		"expired": {1, func(t *testing.T, _ *service) {
			all, err := activeHandler(t).site.Load().broker.OverviewsOf(t.Context(), "")
			if err != nil || len(all) != 1 {
				t.Fatalf("connections %+v, %v; want one", all, err)
			}
			<-time.After(time.Until(all[0].TokenExpiresAt)) // by the gateway's real clock
		}},
		"refused": {3600, func(_ *testing.T, notion *service) { notion.provider.ExpireAll() }},
	} {
		for _, reload := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reload %v", name, reload), func(t *testing.T) {
				notion := newService(t)
				lines := people("alice") + notion.server()
				g := newGateway(t, lines)
				alice := g.person("alice")
				notion.provider.Members = oauthtest.Object{"expires_in": token.lifetime}
				alice.connect("notion")
				token.expire(t, notion)
				gate := make(chan struct{})
				notion.provider.Change(func() {
					notion.provider.Members = oauthtest.Object{"expires_in": 3600}
					notion.provider.Arrived = func(url.Values) { <-gate }
				})

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
				if got := len(notion.provider.Refreshes()); got != 1 {
					t.Errorf("%d refreshes, want 1", got)
				}
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
	oauthtest.Eventually(t, fmt.Sprintf("not %d calls wait for a refresh", want), func() bool { return waiting() == want })
}
