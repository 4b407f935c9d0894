package accounts

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Fifty calls on each of two instances find the token ended.
func TestOneRefreshForEverybody_K10_CL23(t *testing.T) {
	v := newVault(t)
	other := v.instance()
	v.refresher.pause, other.refresher.pause = v.deps.Shared.pause, other.deps.Shared.pause
	v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour)
	var calls sync.WaitGroup
	for range 50 {
		for _, at := range []*vaultInstance{v, other} {
			calls.Go(func() { at.wantCall(alice, "notion", "at-2", nil) })
		}
	}
	calls.Wait()
	if n := len(v.provider.Refreshes()); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}

// While another instance refreshes, a token that still works does.
func TestTokenServesWhileAnotherInstanceRefreshes(t *testing.T) {
	v := newVault(t)
	other := v.instance()
	token := v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour - 3*time.Second) // calls would wait now
	release := v.provider.Hold()
	first := v.startRefresh(t.Context(), v.servers["notion"], v.key(alice, v.servers["notion"]), nil)
	<-v.provider.Refreshed()
	other.refresher.pause = func(context.Context, time.Duration) error { t.Error("the call waits"); return nil }
	other.wantCall(alice, "notion", token, nil)
	release()
	if result := <-first; result.Err != nil {
		t.Error(result.Err)
	}
	other.clock.Advance(time.Minute)
	other.wantCall(alice, "notion", "at-2", nil)
	v.wantNoneReusedEarly()
}

// The call that began a refresh goes away; what it began does not get lost.
func TestRefreshOutlivesItsCaller(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour)
	release := v.provider.Hold()
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := v.Credential(ctx, alice, "notion")
		gone <- err
	}()
	<-v.provider.Refreshed()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	release()
	v.wantCall(alice, "notion", "at-2", nil)
	if n := len(v.provider.Refreshes()); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}

// A process that stops waits for the answer that is on its way.
func TestCloseWaitsForAnswers_K12(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	v.connectAs(bob, "notion")
	v.clock.Advance(time.Hour)
	release := v.provider.Hold()
	v.startRefresh(t.Context(), v.servers["notion"], v.key(alice, v.servers["notion"]), nil)
	<-v.provider.Refreshed()
	closed := make(chan struct{})
	go func() { v.deps.Shared.Close(); close(closed) }()
	<-v.deps.Shared.closing
	select {
	case <-closed:
		t.Error("closed with an answer on its way")
	default:
	}
	release()
	<-closed
	v.wantState(alice, "notion", storage.Active)
	v.instance().wantCall(alice, "notion", "at-3", nil)
	v.wantCall(bob, "notion", "", ErrUnavailable) // who comes too late begins nothing
	if n := len(v.provider.Refreshes()); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}

// wantRevoked checks what the provider was told to revoke, in any order.
func (v *vaultInstance) wantRevoked(want ...string) {
	v.t.Helper()
	got := map[string]bool{}
	for _, r := range v.provider.Revocations() {
		got[r] = true
	}
	for _, r := range want {
		if !got[r] {
			v.t.Errorf("%s was not revoked", r)
		}
		delete(got, r)
	}
	if len(got) > 0 {
		v.t.Errorf("also revoked: %v", got)
	}
}
