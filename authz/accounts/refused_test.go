package accounts

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (v *vaultInstance) wantRefused(owner, server, token, want string, wantErr error) {
	v.t.Helper()
	got, err := v.refusedAt(owner, server, token)
	if got != want || !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
		v.t.Errorf("after a refusal, the call carries %q, error %v; want %q, %v", got, err, want, wantErr)
	}
}

func TestRefused(t *testing.T) {
	t.Run("one refresh", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion")
		v.wantCall(alice, "notion", token, nil)
		v.wantRefused(alice, "notion", token, "at-2", nil)
		v.wantCall(alice, "notion", "at-2", nil)
	})
	t.Run("none if somebody else refreshed", func(t *testing.T) {
		v := newVault(t)
		old := v.connectAs(alice, "notion")
		v.wantRefused(alice, "notion", old, "at-2", nil)
		v.wantRefused(alice, "notion", old, "at-2", nil)
		v.instance().wantRefused(alice, "notion", old, "at-2", nil)
		if n := len(v.provider.Refreshes()); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
	t.Run("one for many at the same time", func(t *testing.T) {
		v := newVault(t)
		old := v.connectAs(alice, "notion")
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() { v.wantRefused(alice, "notion", old, "at-2", nil) })
		}
		calls.Wait()
		if n := len(v.provider.Refreshes()); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
	t.Run("not as fast as an upstream refuses", func(t *testing.T) { // E24
		v := newVault(t)
		token := v.connectAs(alice, "notion")
		v.wantRefused(alice, "notion", token, "at-2", nil)
		for range 20 {
			v.wantCall(alice, "notion", "at-2", nil)
			v.wantRefused(alice, "notion", "at-2", "", ErrRefused)
		}
		if n := len(v.provider.Refreshes()); n != 1 {
			t.Errorf("%d refreshes", n)
		}
		v.wantState(alice, "notion", storage.Active)
		v.clock.Advance(trustPause)
		v.wantRefused(alice, "notion", "at-2", "at-3", nil)
	})
	t.Run("the provider refuses too", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion")
		v.provider.Fail(oauthtest.Refusal(400, "invalid_grant"))
		v.wantRefused(alice, "notion", token, "", ErrNeedsReauth)
		v.wantState(alice, "notion", storage.NeedsReauth)
		v.wantCall(alice, "notion", "", ErrNeedsReauth)
		v.wantRefused(alice, "notion", token, "", ErrNeedsReauth)
	})
	t.Run("the provider is down", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion")
		v.provider.Fail(oauthtest.Down, oauthtest.Down, oauthtest.Down)
		v.wantRefused(alice, "notion", token, "", ErrUnavailable)
		v.wantRefused(alice, "notion", token, "", ErrUnavailable)
		if n := len(v.provider.Refreshes()); n != 3 {
			t.Errorf("%d requests", n)
		}
		v.wantState(alice, "notion", storage.Active)
		v.clock.Advance(retryPause)
		v.wantRefused(alice, "notion", token, "at-2", nil)
	})
	t.Run("the answer gets lost", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion")
		v.provider.Fail(oauthtest.LostAfter)
		v.wantRefused(alice, "notion", token, "", ErrUnavailable)
		v.wantState(alice, "notion", storage.InDoubt)
		v.clock.Advance(retryPause)
		v.wantRefused(alice, "notion", token, "", ErrNeedsReauth) // the provider had replaced it
		v.wantNoneReusedEarly()
	})
	t.Run("without a refresh token", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion", withoutRefresh, withoutExpiry)
		v.wantRefused(alice, "notion", token, "", ErrNeedsReauth)
		v.wantState(alice, "notion", storage.NeedsReauth)
	})
	t.Run("a pasted key", func(t *testing.T) {
		v := newVault(t)
		v.paste(alice, "key-1")
		c, err := v.Credential(t.Context(), alice, "keyed")
		if err != nil {
			t.Fatal(err)
		}
		if c, err := v.Refused(t.Context(), alice, "keyed", c); c != nil || !errors.Is(err, ErrNeedsReauth) {
			t.Errorf("%v, %v", c, err)
		}
		v.wantState(alice, "keyed", storage.NeedsReauth)
	})
	t.Run("disconnected meanwhile", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion", withoutRevocation)
		if err := v.Disconnect(t.Context(), alice, "notion"); err != nil {
			t.Fatal(err)
		}
		v.wantRefused(alice, "notion", token, "", ErrNotConnected)
	})
	t.Run("while somebody refreshes who does not know", func(t *testing.T) {
		// The flight that is joined finds nothing to do: the token is not due.
		v := newVault(t)
		token := v.connectAs(alice, "notion")
		s, k := v.servers["notion"], v.key(alice, v.servers["notion"])
		entered, joined := make(chan struct{}), make(chan struct{})
		v.deps.Shared.flights.DoChan(flightKey(k), func() (any, error) {
			close(entered)
			<-joined
			return v.refresher.refresh(t.Context(), s, k, nil)
		})
		<-entered
		c, err := v.Refused(&watchedContext{Context: t.Context(), watched: joined}, alice, "notion", bearer(token))
		if got := v.judge(alice, "notion", c); got != "at-2" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// watchedContext tells when somebody begins to wait.
type watchedContext struct {
	context.Context
	once    sync.Once
	watched chan struct{}
}

func (c *watchedContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.watched) })
	return c.Context.Done()
}
