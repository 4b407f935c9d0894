package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// N14: a reuse that revoked a grant is logged once, and none that did not,
// whatever the store fails at on the way.
func TestEveryReuseIsLoggedOnce_N14(t *testing.T) {
	for name, reuse := range map[string]func(*testServer) func() reply{
		"authorization code": func(ts *testServer) func() reply {
			code := ts.code()
			ts.want(ts.redeem("app", code), http.StatusOK, "")
			return func() reply { return ts.redeem("app", code) }
		},
		"refresh token": func(ts *testServer) func() reply {
			first := ts.signedIn()
			ts.want(ts.refresh("app", first.Refresh), http.StatusOK, "")
			return func() reply { return ts.refresh("app", first.Refresh) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(fails string) (verbs []string) {
				store := storetest.NewFaulty(memstore.New())
				ts := newTestServerOn(t, store, func(c *siteConfig) { c.RefreshReuseGrace = new(config.Duration(0)) })
				again := reuse(ts)
				store.Called()
				store.Fail(fails)
				got := again()
				verbs = store.Called()
				store.Fail("")
				logged := func() int {
					return ts.logged(event.TokenReuseDetected).FilterField(zap.String("reason", strings.ReplaceAll(name, " ", "_"))).FilterField(zap.String("detail", "grant revoked")).Len()
				}
				standing := func() int {
					grants, err := ts.as.Grants.List(t.Context(), alice.Subject)
					if err != nil {
						t.Fatal(err)
					}
					return len(grants)
				}
				if logged()+standing() != 1 {
					t.Errorf("%s failed: %d grants stand, %d lines in the log", fails, standing(), logged())
				}
				if fails == "" {
					ts.want(got, http.StatusBadRequest, "invalid_grant")
					return verbs
				}
				if got.status != http.StatusServiceUnavailable {
					t.Errorf("%s failed: %d %s", fails, got.status, got.body)
				}
				ts.want(again(), http.StatusBadRequest, "invalid_grant")
				if logged() != 1 || standing() != 0 {
					t.Errorf("%s failed; once more: %d grants stand, %d lines in the log", fails, standing(), logged())
				}
				return verbs
			}
			verbs := run("")
			slices.Sort(verbs)
			for _, verb := range slices.Compact(verbs) {
				run(verb)
			}
			if len(verbs) == 0 {
				t.Error("the store is not asked")
			}
		})
	}
}
