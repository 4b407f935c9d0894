package accounts

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// The process ends, or its disk does, between the answer and the commit.
func TestRefreshNotStored_K12(t *testing.T) {
	t.Run("the disk fails for good", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		v.clock.Advance(time.Hour)
		v.store.mu.Lock()
		v.store.failPuts = 1 << 20
		v.store.mu.Unlock()
		v.wantCall(alice, "notion", "", errStore) // the new token was not used
		v.store.mu.Lock()
		v.store.failPuts = 0
		v.store.mu.Unlock()

		restarted := v.instance()
		restarted.wantCall(alice, "notion", "", ErrUnavailable) // the lease may still be somebody's
		v.clock.Advance(leaseTime)
		restarted.wantCall(alice, "notion", "", ErrUnavailable)
		restarted.wantState(alice, "notion", storage.InDoubt)
		if !restarted.logged(errLeaseRanOut) {
			t.Error("the log does not tell why")
		}
		restarted.wantCall(alice, "notion", "", ErrUnavailable)
		if n := len(v.provider.Refreshes()); n != 1 {
			t.Errorf("%d refreshes", n)
		}
		v.clock.Advance(retryPause)
		restarted.wantCall(alice, "notion", "", ErrNeedsReauth) // the provider had replaced it
		restarted.wantState(alice, "notion", storage.NeedsReauth)
		token := restarted.connectAs(alice, "notion")
		restarted.wantCall(alice, "notion", token, nil)
	})
	t.Run("the disk fails for a moment", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		v.clock.Advance(time.Hour)
		v.store.failPuts = 2
		v.wantCall(alice, "notion", "at-2", nil)
	})
	t.Run("the commit works and is not confirmed", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		v.clock.Advance(time.Hour)
		v.store.losePuts = 1
		v.wantCall(alice, "notion", "at-2", nil)
		v.instance().wantCall(alice, "notion", "at-2", nil)
		if n := len(v.provider.Refreshes()); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// A process that slept in the middle of its tries does not go on with a lease
// that another one may have by now.
func TestHeldUpProcessStopsTrying(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour)
	v.refresher.pause = func(context.Context, time.Duration) error {
		v.clock.Advance(leaseTime)
		return nil
	}
	v.provider.Fail(oauthtest.Down)
	v.wantCall(alice, "notion", "", ErrUnavailable)
	if n := len(v.provider.Refreshes()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// In doubt, the access token still works until its end; until then its refresh
// token is not sent again.
func TestInDoubtServesTheTokenThereIs_K11(t *testing.T) {
	v := newVault(t)
	token := v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour - 30*time.Second)
	v.provider.Fail(oauthtest.LostAfter)
	v.wantCall(alice, "notion", token, nil)
	v.refreshed(alice, "notion")
	v.wantState(alice, "notion", storage.InDoubt)
	for range 4 {
		v.wantCall(alice, "notion", token, nil)
		v.instance().wantCall(alice, "notion", token, nil)
		v.clock.Advance(cacheTTL + time.Second)
	}
	if n := len(v.provider.Refreshes()); n != 1 {
		t.Errorf("%d requests", n)
	}
	v.clock.Advance(30 * time.Second)
	v.wantCall(alice, "notion", "", ErrNeedsReauth) // asked again, the provider refuses it
	v.wantNoneReusedEarly()
	if n := len(v.provider.Refreshes()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// While the provider is down, calls with a token that works do not wait, and
// the provider is left alone for a moment.
func TestProviderDownAheadOfTheEnd(t *testing.T) {
	v := newVault(t)
	token := v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour - 50*time.Second)
	v.provider.Fail(oauthtest.Down, oauthtest.Down, oauthtest.Down)
	v.wantCall(alice, "notion", token, nil)
	v.refreshed(alice, "notion")
	for range 20 {
		v.wantCall(alice, "notion", token, nil)
	}
	if n := len(v.provider.Refreshes()); n != 3 {
		t.Errorf("%d requests", n)
	}
	v.clock.Advance(retryPause)
	v.wantCall(alice, "notion", token, nil)
	v.refreshed(alice, "notion")
	v.wantCall(alice, "notion", "at-2", nil)
}

// Where the refresh token goes is what was found before the person went there.
func TestRefreshFollowsNobody_K13_K15(t *testing.T) {
	v := newVault(t)
	evil := oauthtest.NewProvider(t)
	v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour)
	v.servers["notion"].Auth.TokenEndpoint = evil.URL + "/token"
	v.provider.Fail(oauthtest.Fault{NotProcessed: true, Answer: oauthtest.Redirect(evil.URL + "/token")})
	v.servers["notion"].Auth.Issuer = v.provider.URL
	v.wantCall(alice, "notion", "", ErrUnavailable)
	v.clock.Advance(retryPause)
	v.wantCall(alice, "notion", "at-2", nil)
	if n := len(evil.Refreshes()); n != 0 {
		t.Errorf("%d refreshes went elsewhere", n)
	}
}

// The person connects again, or disconnects, while a refresh is under way.
func TestRefreshIsOvertaken(t *testing.T) {
	begin := func(t *testing.T) (v *vaultInstance, answered func() error) {
		v = newVault(t)
		v.connectAs(alice, "notion")
		v.clock.Advance(time.Hour)
		release := v.provider.Hold()
		result := v.startRefresh(t.Context(), v.servers["notion"], v.key(alice, v.servers["notion"]), nil)
		<-v.provider.Refreshed()
		return v, func() error { release(); return (<-result).Err }
	}
	t.Run("connected again", func(t *testing.T) {
		v, answered := begin(t)
		token := v.connectAs(alice, "notion")
		if err := answered(); err != nil {
			t.Error(err)
		}
		v.wantCall(alice, "notion", token, nil)
	})
	t.Run("disconnected", func(t *testing.T) { // K20
		v, answered := begin(t)
		if err := v.Disconnect(t.Context(), alice, "notion"); err != nil {
			t.Fatal(err)
		}
		if err := answered(); !errors.Is(err, ErrNotConnected) {
			t.Error(err)
		}
		v.wantCall(alice, "notion", "", ErrNotConnected)
		v.deps.Shared.Close()
		v.wantRevoked("refresh_token rt-1", "access_token at-1", "refresh_token rt-2", "access_token at-2")
	})
	t.Run("disconnected, and the process stops", func(t *testing.T) {
		v, answered := begin(t)
		closed := make(chan struct{})
		go func() { v.deps.Shared.Close(); close(closed) }()
		<-v.deps.Shared.closing
		if err := v.Disconnect(t.Context(), alice, "notion"); err != nil {
			t.Fatal(err)
		}
		if err := answered(); !errors.Is(err, ErrNotConnected) {
			t.Error(err)
		}
		<-closed
		v.wantRevoked("refresh_token rt-1", "access_token at-1", "refresh_token rt-2", "access_token at-2")
	})
}

// The provider forgot our registration: the next request makes a new one.
func TestRefreshForgetsLostRegistration(t *testing.T) {
	v := newVault(t)
	s := v.servers["notion"]
	s.Auth.ClientID = ""
	registered := registration{Credentials: client.Credentials{ID: "gateway", AuthMethod: oauth.AuthNone}, RedirectURI: v.profile(s).RedirectURI}
	if err := v.plantClient(t.Context(), s, v.provider.URL, registered, time.Time{}); err != nil {
		t.Fatal(err)
	}
	v.connectAs(alice, "notion")
	v.connectAs(bob, "notion")
	v.clock.Advance(time.Hour)
	v.provider.Fail(oauthtest.Refusal(http.StatusUnauthorized, "invalid_client"))
	v.wantCall(alice, "notion", "", ErrNeedsReauth)
	if r, err := v.storedClient(t.Context(), s, v.provider.URL); r != nil || err != nil {
		t.Errorf("%v, %v", r, err)
	}
	// Nobody else's token is sent as a client that does not exist.
	v.wantCall(bob, "notion", "", ErrNeedsReauth)
	v.wantState(bob, "notion", storage.NeedsReauth)
	if n := len(v.provider.Refreshes()); n != 1 {
		t.Errorf("%d requests", n)
	}
}
