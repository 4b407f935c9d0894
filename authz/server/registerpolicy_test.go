package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestRegisterRate_G01(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.RateLimit = new(3) })
	ts.stopLimits()
	first := ts.register(publicClient)
	ts.register(publicClient)
	ts.send(http.MethodPost, RegisterPath, `{}`) // a failure counts, too
	writes := ts.store.writes.Load()
	for range 10_000 {
		w := ts.send(http.MethodPost, RegisterPath, publicClient)
		ts.refused(w, http.StatusTooManyRequests, "temporarily_unavailable")
		if w.Header().Get("Retry-After") == "" {
			t.Fatal("no Retry-After")
		}
	}
	if n := ts.store.writes.Load() - writes; n != 0 {
		t.Errorf("%d writes", n)
	}
	if _, err := ts.lookup(first.ID); err != nil {
		t.Errorf("an existing client: %v", err)
	}
	r := httptest.NewRequest(http.MethodPost, testIssuer+RegisterPath, strings.NewReader(publicClient))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "192.0.2.99:1"
	if w := ts.serve(r); w.Code != http.StatusCreated {
		t.Errorf("another address: %d", w.Code)
	}
}

// What a web page makes a browser send does not shut out a client there.
func TestRegisterCountsRegistrations_G01(t *testing.T) {
	h := storage.HashOf("initial")
	for name, headers := range map[string][]string{
		"a form":      {"Content-Type", "text/plain"},
		"no token":    nil,
		"wrong token": {"Authorization", "Bearer wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, func(c *siteConfig) { c.Registration.RateLimit, c.Registration.TokenHash = new(3), &h })
			ts.stopLimits()
			for range 10 {
				if w := ts.send(http.MethodPost, RegisterPath, publicClient, headers...); w.Code == http.StatusCreated {
					t.Fatal("registered")
				}
			}
			ts.registered(ts.send(http.MethodPost, RegisterPath, publicClient, "Authorization", "Bearer initial"), http.StatusCreated)
		})
	}
}

// A flood of registrations leaves the newest of them, and every client that
// somebody uses.
func TestRegisterEviction_G02(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.RateLimit, c.Registration.MaxUnused = new(0), new(5) })
	used := ts.register(publicClient)
	ts.approved(request("client_id", used.ID, "redirect_uri", "http://127.0.0.1:5000/cb"), alice)
	var all []registration
	for range 20 {
		ts.clock.Advance(time.Second)
		all = append(all, ts.register(publicClient))
	}
	for i, reg := range all {
		_, err := ts.lookup(reg.ID)
		if kept := i >= len(all)-5; (err == nil) != kept {
			t.Errorf("number %d of %d: %v", i, len(all), err)
		}
	}
	if _, err := ts.lookup(used.ID); err != nil {
		t.Errorf("the client that is used: %v", err)
	}
}

func TestRegistrationExpiry_G03(t *testing.T) {
	ts := newTestServer(t)
	unused, used := ts.register(publicClient), ts.register(publicClient)
	ts.approved(request("client_id", used.ID, "redirect_uri", "http://127.0.0.1:5000/cb"), keyIdentity("team"))
	known := func(reg registration) bool {
		t.Helper()
		if _, err := ts.store.Sweep(t.Context(), ts.clock.Now()); err != nil {
			t.Fatal(err)
		}
		_, err := ts.lookup(reg.ID)
		if err != nil && oauth.AsError(err).Code != "invalid_client" {
			t.Fatal(err)
		}
		return err == nil
	}
	ts.clock.Advance(time.Duration(config.DefaultRegistration().UnusedLifetime) - time.Second)
	if !known(unused) {
		t.Error("an unused client ended early")
	}
	ts.clock.Advance(2 * time.Second)
	if known(unused) {
		t.Error("an unused client is kept")
	}
	ts.clock.Advance(89*24*time.Hour + 23*time.Hour)
	if !known(used) {
		t.Error("a client that was used ended early")
	}
	ts.clock.Advance(time.Duration(config.DefaultLifetimes.AbsoluteGrantLifetime) + time.Hour)
	if known(used) {
		t.Error("a client is kept for ever after its last grant")
	}
}

// What is approved by somebody who proves nothing outlives its grant as any
// other, and whoever scripts such approvals pushes out their own alone.
func TestUnprovedApprovals_G01_G02_G03(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) {
		c.Registration.RateLimit, c.Registration.MaxUnused, c.Registration.MaxUnproved = new(0), new(5), new(3)
	})
	known := func(reg registration) bool {
		t.Helper()
		_, err := ts.as.clients.Lookup(t.Context(), reg.ID, clients.Requester{})
		if err != nil && oauth.AsError(err).Code != "invalid_client" {
			t.Fatal(err)
		}
		return err == nil
	}
	approve := func(reg registration, who storage.Identity, address string) string {
		t.Helper()
		f := ts.identifiedFrom(address, request("client_id", reg.ID, "redirect_uri", "http://127.0.0.1:5000/cb"), who)
		target, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}})
		if err != nil {
			t.Fatal(err)
		}
		return answer(t, target).Get("code")
	}
	legit, proved := ts.register(publicClient), ts.register(publicClient)
	code := approve(legit, identity.NewAnonymous(), "192.0.2.1")
	approve(proved, keyIdentity("team"), "2001:db8::1")
	issued := ts.post(TokenPath, legit.ID, redemption(code, "redirect_uri", "http://127.0.0.1:5000/cb"))
	var scripted []registration
	for i := range 20 {
		ts.clock.Advance(time.Second)
		reg := ts.register(publicClient)
		who := identity.NewAnonymous()
		if i%2 == 0 {
			who = alice
		}
		approve(reg, who, fmt.Sprintf("2001:db8::%x", i)) // one subscriber's
		scripted = append(scripted, reg)
	}
	for range 20 {
		ts.register(publicClient)
	}
	for i, reg := range scripted {
		if want := i >= 17; known(reg) != want {
			t.Errorf("scripted client %d is known: %t", i, !want)
		}
	}
	if !known(legit) || !known(proved) {
		t.Fatal("somebody else's client is gone")
	}
	for range 3 { // as long as the grant lives
		ts.clock.Advance(time.Duration(config.DefaultLifetimes.RefreshTokenLifetime) - time.Hour)
		if _, err := ts.store.Sweep(t.Context(), ts.clock.Now()); err != nil {
			t.Fatal(err)
		}
		issued = ts.refresh(legit.ID, issued.Refresh)
		ts.want(issued, http.StatusOK, "")
	}
	ts.clock.Advance(time.Duration(config.DefaultLifetimes.RefreshTokenLifetime))
	if !known(legit) || !known(proved) {
		t.Error("it ends with its grant")
	}
	ts.clock.Advance(90 * 24 * time.Hour)
	if known(legit) || known(proved) {
		t.Error("a client is kept for ever after its last grant")
	}
}

// Signing in without proof is a record and leads to more: it is as limited as
// registering is.
func TestUnprovedSignInsAreLimited_G01(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.RateLimit = new(3) })
	from := func(address string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, testIssuer+EndpointPrefix+"consent/skip", nil)
		r.RemoteAddr = address
		return r
	}
	for n := range 5 {
		if got := ts.as.Attempts.AllowUnproved(from("2001:db8::1")); got != (n < 3) {
			t.Errorf("sign-in %d is allowed: %t", n, got)
		}
	}
	if ts.as.Attempts.AllowUnproved(from("2001:db8::2")) {
		t.Error("another address of the same subscriber has a limit of its own")
	}
	if !ts.as.Attempts.AllowUnproved(from("192.0.2.7")) {
		t.Error("another subscriber is limited too")
	}
	ts.reload(func(c *siteConfig) { c.Registration.RateLimit = new(0) })
	if !ts.as.Attempts.AllowUnproved(from("2001:db8::1")) {
		t.Error("0 is no limit")
	}
}

func TestInitialAccessToken_G16(t *testing.T) {
	h := storage.HashOf("initial")
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.TokenHash = &h })
	for _, header := range []string{"", "Bearer wrong", "Basic initial", "Bearer initial2", "Bearer"} {
		var headers []string
		if header != "" {
			headers = []string{"Authorization", header}
		}
		w := ts.send(http.MethodPost, RegisterPath, publicClient, headers...)
		ts.refused(w, http.StatusUnauthorized, "invalid_token")
		if !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: challenge %q", header, w.Header().Get("WWW-Authenticate"))
		}
	}
	ts.registered(ts.send(http.MethodPost, RegisterPath, publicClient, "Authorization", "Bearer initial"), http.StatusCreated)
}

func TestRegistrationOff_G19(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(publicClient)
	ts.reload(func(c *siteConfig) { c.Registration.Dynamic = new(false) })
	for path, method := range map[string]string{RegisterPath: http.MethodPost, reg.path(): http.MethodGet} {
		ts.refused(ts.send(method, path, publicClient, "Authorization", "Bearer "+reg.Token), http.StatusNotFound, "not_found")
	}
	if _, err := ts.lookup(reg.ID); err != nil {
		t.Errorf("a client people approved earlier: %v", err)
	}
}

func TestRegisteredIDs_G17(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.RateLimit = new(0) })
	seen := map[string]bool{}
	for range 200 {
		reg := ts.register(publicClient)
		if strings.HasPrefix(reg.ID, "http") || seen[reg.ID] {
			t.Fatalf("id %s", reg.ID)
		}
		seen[reg.ID] = true
	}
}
