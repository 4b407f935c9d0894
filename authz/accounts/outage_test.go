package accounts

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// outages are the ways in which a provider is not there for a while.
var outages = map[string]oauthtest.Fault{
	"resets":                {Answer: oauthtest.HangUp},
	"nonsense":              {Answer: oauthtest.Answer(http.StatusOK, "text/html", "<html>maintenance</html>")},
	"an empty object":       {Answer: oauthtest.Answer(http.StatusOK, "application/json", "{}")},
	"an answer cut short":   {Answer: cutOff},
	"503":                   oauthtest.Down,
	"429":                   {NotProcessed: true, Answer: oauthtest.Answer(http.StatusTooManyRequests, "text/plain", "no")},
	"500":                   {Answer: oauthtest.Answer(http.StatusInternalServerError, "text/plain", "no")},
	"502 of a gateway":      {Answer: oauthtest.Answer(http.StatusBadGateway, "text/html", "no")},
	"504 of a gateway":      {Answer: oauthtest.Answer(http.StatusGatewayTimeout, "text/html", "no")},
	"204":                   {Answer: oauthtest.Answer(http.StatusNoContent, "text/plain", "")},
	"202":                   {Answer: oauthtest.Answer(http.StatusAccepted, "application/json", "{}")},
	"400 of a proxy":        {NotProcessed: true, Answer: oauthtest.Answer(http.StatusBadRequest, "text/html", "no")},
	"404":                   {NotProcessed: true, Answer: oauthtest.Answer(http.StatusNotFound, "text/html", "no")},
	"a redirect":            {NotProcessed: true, Answer: oauthtest.Redirect("https://status.example")},
	"an answer without end": {Answer: oauthtest.Answer(http.StatusOK, "application/json", endless)},
}

var endless = func() string { return fmt.Sprintf("%070000d", 1) }()

// cutOff ends the connection in the middle of an answer.
func cutOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = w.Write([]byte(`{"access_token":`))
	panic(http.ErrAbortHandler)
}

// A provider that is away for half a minute costs nobody their connection:
// whoever's token ends meanwhile waits, and goes on soon after it is back.
func TestOutageCostsNobodyTheirConnection(t *testing.T) {
	const people, away = 50, 40 * time.Second
	for name, f := range outages {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			owner := func(i int) string { return fmt.Sprint("user_id:", i) }
			for i := range people { // their tokens end before, during and after it
				v.connectAs(owner(i), "notion", func(c *storage.Connection, opened *secrets) {
					c.TokenExpiresAt = v.clock.Now().Add(30*time.Second + time.Duration(i)*2*time.Second)
					v.provider.SetExpiry(opened.AccessToken, c.TokenExpiresAt)
				})
			}
			v.clock.Advance(20 * time.Second)
			began := v.clock.Now()
			v.provider.SetOutage(&f)
			for v.clock.Now().Sub(began) < away+30*time.Second {
				if v.clock.Now().Sub(began) >= away {
					v.provider.SetOutage(nil)
				}
				for i := range people {
					if _, err := v.call(owner(i), "notion"); err != nil && !errors.Is(err, ErrUnavailable) {
						t.Fatalf("%v into it, %s: %v", v.clock.Now().Sub(began), owner(i), err)
					}
					v.landed(owner(i), "notion")
				}
				v.clock.Advance(time.Second)
			}
			for i := range people {
				if _, err := v.call(owner(i), "notion"); err != nil {
					t.Errorf("afterwards, %s: %v", owner(i), err)
				}
				v.wantState(owner(i), "notion", storage.Active)
			}
			v.wantNoneReusedEarly()
		})
	}
}

// Once its access token has ended, a refresh token whose answer was lost is
// sent again, by one instance at a time, and not without end.
func TestInDoubtIsTriedAgain_K11(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour)
	v.provider.SetOutage(&oauthtest.LostBefore)
	v.wantCall(alice, "notion", "", ErrUnavailable)
	other := v.instance()
	began := v.clock.Now()
	for v.clock.Now().Sub(began) < time.Hour {
		for _, at := range []*vaultInstance{v, other, v} {
			if _, err := at.call(alice, "notion"); errors.Is(err, ErrNeedsReauth) {
				took := v.clock.Now().Sub(began)
				if n := len(v.provider.Refreshes()); n != 1+maxRetries || took < 4*time.Minute || took > 6*time.Minute {
					t.Errorf("given up after %d requests and %v", n, took)
				}
				v.wantState(alice, "notion", storage.InDoubt)
				v.provider.SetOutage(nil)
				v.clock.Advance(time.Hour)
				v.wantCall(alice, "notion", "", ErrNeedsReauth)
				return
			}
		}
		v.clock.Advance(time.Second)
	}
	t.Fatal("asked for an hour")
}

// A process that ends while it tries again has used up that try.
func TestRetryIsCountedBeforeItIsSent_K12(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour)
	v.provider.SetOutage(&oauthtest.LostBefore)
	v.wantCall(alice, "notion", "", ErrUnavailable)
	for want := 1; want <= 3; want++ {
		v.clock.Advance(time.Minute)
		v.store.failPuts = 1 << 20 // the outcome is never stored
		if _, err := v.call(alice, "notion"); !errors.Is(err, errStore) {
			t.Fatal(err)
		}
		v.store.failPuts = 0
		if c := v.record(alice, "notion"); c.Retries != want {
			t.Errorf("%d retries, want %d", c.Retries, want)
		}
		v.clock.Advance(leaseTime)
		v.wantCall(alice, "notion", "", ErrUnavailable) // the lease ran out
	}
	v.provider.SetOutage(nil)
	v.clock.Advance(time.Minute)
	v.wantCall(alice, "notion", "at-2", nil)
	if c := v.record(alice, "notion"); c.Retries != 0 || c.State != storage.Active {
		t.Errorf("%+v", c)
	}
}

// A long outage in which the provider says that it can do nothing costs no tries.
func TestUnableCostsNoRetry(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour)
	v.provider.Fail(oauthtest.LostBefore)
	v.wantCall(alice, "notion", "", ErrUnavailable)
	v.provider.SetOutage(&oauthtest.Down)
	for range 100 {
		v.clock.Advance(time.Minute)
		v.wantCall(alice, "notion", "", ErrUnavailable)
	}
	v.provider.SetOutage(nil)
	v.clock.Advance(time.Minute)
	v.wantCall(alice, "notion", "at-2", nil)
}

// A provider that does not replace refresh tokens is asked again at once: it is
// known from its last answer, or from the operator.
func TestReusableRefreshToken(t *testing.T) {
	for name, learn := range map[string]func(v *vaultInstance){
		"learned": func(v *vaultInstance) {
			v.clock.Advance(time.Hour)
			v.wantCall(alice, "notion", "at-2", nil)
		},
		"configured": func(v *vaultInstance) { v.servers["notion"].Auth.Quirks.NoRefreshRotation = true },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			v.provider.KeepsRefreshTokens = true
			v.connectAs(alice, "notion")
			learn(v)
			v.clock.Advance(time.Hour - 30*time.Second)
			v.provider.SetOutage(&oauthtest.LostAfter)
			for range 5 { // ahead of the end already
				if _, err := v.call(alice, "notion"); err != nil {
					t.Error(err)
				}
				v.landed(alice, "notion")
				v.wantState(alice, "notion", storage.Active)
				v.clock.Advance(retryPause)
			}
			v.clock.Advance(time.Hour)
			v.wantCall(alice, "notion", "", ErrUnavailable)
			v.provider.SetOutage(nil)
			v.clock.Advance(retryPause)
			if token, err := v.call(alice, "notion"); token == "" || err != nil {
				t.Errorf("got %q, error %v; want a token", token, err)
			}
		})
	}
	t.Run("the holder of a lease ended", func(t *testing.T) {
		v := newVault(t)
		v.provider.KeepsRefreshTokens = true
		v.servers["notion"].Auth.Quirks.NoRefreshRotation = true
		token := v.connectAs(alice, "notion")
		c := v.record(alice, "notion")
		if _, verdict, err := v.store.LeaseConnection(t.Context(), c, "killed", v.clock.Now().Add(leaseTime), v.clock.Now()); verdict != storage.OK || err != nil {
			t.Fatalf("got %v, error %v; want %v", verdict, err, storage.OK)
		}
		v.clock.Advance(time.Hour - 40*time.Second)
		v.wantCall(alice, "notion", token, nil)
		v.landed(alice, "notion")
		v.wantState(alice, "notion", storage.InDoubt)
		v.clock.Advance(retryPause)
		v.wantCall(alice, "notion", token, nil)
		v.landed(alice, "notion")
		v.wantState(alice, "notion", storage.Active)
	})
}

// A provider that refuses without a clear reason is asked for an hour; then the
// person is asked.
func TestUnclearRefusalsEnd(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	v.connectAs(bob, "notion")
	v.clock.Advance(time.Hour)
	f := oauthtest.Fault{NotProcessed: true, Answer: oauthtest.Answer(http.StatusBadRequest, "application/json", `{"message":"Unrecognized client_id"}`)}
	v.provider.SetOutage(&f)
	for range 59 {
		v.wantCall(alice, "notion", "", ErrUnavailable)
		v.clock.Advance(time.Minute)
	}
	v.wantCall(bob, "notion", "", ErrUnavailable) // whose hour begins
	v.clock.Advance(time.Minute)
	v.wantCall(alice, "notion", "", ErrNeedsReauth)
	v.wantCall(bob, "notion", "", ErrUnavailable)
	v.provider.SetOutage(nil)
	v.clock.Advance(time.Minute)
	v.wantCall(bob, "notion", "at-3", nil)
	if c := v.record(bob, "notion"); !c.RefusedSince.IsZero() {
		t.Errorf("refused since %v", c.RefusedSince)
	}
}

// A server that refuses the token of a connection in doubt is asked about it
// before the refresh token is sent again.
func TestInDoubtAndRefused_K11(t *testing.T) {
	for name, tt := range map[string]struct {
		status   int
		requests int
		want     string
		err      error
	}{
		"the token has ended":     {http.StatusUnauthorized, 2, "at-2", nil},
		"only the call":           {http.StatusOK, 1, "", ErrRefused},
		"the server does not say": {http.StatusServiceUnavailable, 1, "", ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			token := v.connectAs(alice, "notion")
			v.clock.Advance(time.Hour - 30*time.Second)
			v.provider.Fail(oauthtest.LostBefore)
			v.wantCall(alice, "notion", token, nil)
			v.refreshed(alice, "notion")
			v.wantState(alice, "notion", storage.InDoubt)
			v.clock.Advance(retryPause)
			v.serverAnswers(tt.status)
			got, err := v.refusedAt(alice, "notion", token)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
			if n := len(v.provider.Refreshes()); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			v.wantNoneReusedEarly()
		})
	}
}

// What stands in front of a provider refuses without a reason: that costs a
// connection in doubt no try either.
func TestUnclearRefusalCostsNoRetry(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	v.clock.Advance(time.Hour)
	v.provider.Fail(oauthtest.LostBefore)
	v.wantCall(alice, "notion", "", ErrUnavailable)
	f := oauthtest.Fault{NotProcessed: true, Answer: oauthtest.Answer(http.StatusNotFound, "text/html", "no")}
	v.provider.SetOutage(&f)
	for range 100 {
		v.clock.Advance(25 * time.Second)
		v.wantCall(alice, "notion", "", ErrUnavailable)
	}
	v.provider.SetOutage(nil)
	v.clock.Advance(time.Minute)
	v.wantCall(alice, "notion", "at-2", nil)
}
