package server

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var errAway = &storage.UnreachableError{StaleFor: 30 * time.Second, Cause: errors.New("refused")}

// While the store cannot be reached, calls and streams go on for as long as it
// allows; whoever signs in or refreshes is told at once to come back.
func TestStoreIsAway_E16(t *testing.T) {
	ts := newTestServer(t)
	got, revoked := ts.signedIn(), ts.signedIn()
	caller, gate := ts.caller(got.Access)
	expired, _ := ts.caller(got.Access)
	expiredCaller := *expired
	expiredCaller.ExpiresAt = ts.clock.Now() // its stream goes on by its grant
	revokedCaller, _ := ts.caller(revoked.Access)
	if !gate.Recheck(caller) || !gate.Recheck(&expiredCaller) {
		t.Fatal("refused before")
	}
	ts.want(ts.revoke("app", revoked.Refresh), http.StatusOK, "")
	before := ts.logs.Len()
	ts.store.gone(func() {
		for range 2 {
			ts.clock.Advance(15 * time.Second)
			if status, _ := ts.through("notion", got.Access); status != 200 {
				t.Errorf("a token that was good gets %d", status)
			}
			if !gate.Recheck(caller) || !gate.Recheck(&expiredCaller) {
				t.Error("a stream is cut")
			}
		}
		if status, _ := ts.through("notion", revoked.Access); status != 503 || gate.Recheck(revokedCaller) {
			t.Errorf("a token that was revoked here gets %d", status)
		}
		refused := ts.refresh("app", got.Refresh)
		ts.want(refused, http.StatusServiceUnavailable, "temporarily_unavailable")
		if refused.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		ts.want(ts.revoke("app", got.Access), http.StatusServiceUnavailable, "temporarily_unavailable")
		ts.clock.Advance(1)
		if status, _ := ts.through("notion", got.Access); status != 503 || gate.Recheck(caller) || gate.Recheck(&expiredCaller) {
			t.Errorf("after 30 seconds a token gets %d, or its streams go on", status)
		}
	})
	for _, line := range ts.logs.All()[before:] {
		if line.Level > 0 {
			t.Errorf("the log is told of each request: %s %v", line.Message, line.ContextMap())
		}
	}
	if status, _ := ts.through("notion", got.Access); status != 200 || !gate.Recheck(&expiredCaller) {
		t.Errorf("afterwards a token gets %d, or its stream is cut", status)
	}
	ts.want(ts.refresh("app", got.Refresh), http.StatusOK, "")
}
