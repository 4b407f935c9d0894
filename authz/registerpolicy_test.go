package authz

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestRegisterRate_G01(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Registration.RatePerMinute = 3 })
	l.stopLimits()
	first := l.register(publicClient)
	l.register(publicClient)
	l.send(http.MethodPost, RegisterPath, `{}`) // a failure counts, too
	writes := l.store.writes.Load()
	for range 10_000 {
		w := l.send(http.MethodPost, RegisterPath, publicClient)
		l.refused(w, http.StatusTooManyRequests, "temporarily_unavailable")
		if w.Header().Get("Retry-After") == "" {
			t.Fatal("no Retry-After")
		}
	}
	if n := l.store.writes.Load() - writes; n != 0 {
		t.Errorf("%d writes", n)
	}
	if _, err := l.lookup(first.ID); err != nil {
		t.Errorf("an existing client: %v", err)
	}
	r := httptest.NewRequest(http.MethodPost, labIssuer+RegisterPath, strings.NewReader(publicClient))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "192.0.2.99:1"
	if w := l.serve(r); w.Code != http.StatusCreated {
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
			l := newLab(t, func(c *Config) { c.Registration.RatePerMinute, c.Registration.InitialAccessToken = 3, &h })
			l.stopLimits()
			for range 10 {
				if w := l.send(http.MethodPost, RegisterPath, publicClient, headers...); w.Code == http.StatusCreated {
					t.Fatal("registered")
				}
			}
			l.registered(l.send(http.MethodPost, RegisterPath, publicClient, "Authorization", "Bearer initial"), http.StatusCreated)
		})
	}
}

// A flood of registrations leaves the newest of them, and every client that
// somebody uses.
func TestRegisterEviction_G02(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Registration.RatePerMinute, c.Registration.MaxUnused = 0, 5 })
	used := l.register(publicClient)
	l.approved(request("client_id", used.ID, "redirect_uri", "http://127.0.0.1:5000/cb"), alice)
	var all []registration
	for range 20 {
		l.advance(time.Second)
		all = append(all, l.register(publicClient))
	}
	for i, reg := range all {
		_, err := l.lookup(reg.ID)
		if kept := i >= len(all)-5; (err == nil) != kept {
			t.Errorf("number %d of %d: %v", i, len(all), err)
		}
	}
	if _, err := l.lookup(used.ID); err != nil {
		t.Errorf("the client that is used: %v", err)
	}
}

func TestRegistrationExpiry_G03(t *testing.T) {
	l := newLab(t)
	unused, used := l.register(publicClient), l.register(publicClient)
	l.approved(request("client_id", used.ID, "redirect_uri", "http://127.0.0.1:5000/cb"), alice)
	known := func(reg registration) bool {
		t.Helper()
		if _, err := l.store.Sweep(t.Context(), l.time()); err != nil {
			t.Fatal(err)
		}
		_, err := l.lookup(reg.ID)
		if err != nil && asError(err).Code != "invalid_client" {
			t.Fatal(err)
		}
		return err == nil
	}
	l.advance(DefaultRegistration.UnusedLifetime - time.Second)
	if !known(unused) {
		t.Error("an unused client ended early")
	}
	l.advance(2 * time.Second)
	if known(unused) {
		t.Error("an unused client is kept")
	}
	l.advance(DefaultRegistration.UsedLifetime - time.Hour)
	if !known(used) {
		t.Error("a client that was used ended early")
	}
	l.advance(DefaultLifetimes.AbsoluteGrant + time.Hour)
	if known(used) {
		t.Error("a client is kept for ever after its last grant")
	}
}

func TestInitialAccessToken_G16(t *testing.T) {
	h := storage.HashOf("initial")
	l := newLab(t, func(c *Config) { c.Registration.InitialAccessToken = &h })
	for _, header := range []string{"", "Bearer wrong", "Basic initial", "Bearer initial2", "Bearer"} {
		var headers []string
		if header != "" {
			headers = []string{"Authorization", header}
		}
		w := l.send(http.MethodPost, RegisterPath, publicClient, headers...)
		l.refused(w, http.StatusUnauthorized, "invalid_token")
		if !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: challenge %q", header, w.Header().Get("WWW-Authenticate"))
		}
	}
	l.registered(l.send(http.MethodPost, RegisterPath, publicClient, "Authorization", "Bearer initial"), http.StatusCreated)
}

func TestRegistrationOff_G19(t *testing.T) {
	l := newLab(t)
	reg := l.register(publicClient)
	l.reload(func(c *Config) { c.Registration.Dynamic = false })
	for path, method := range map[string]string{RegisterPath: http.MethodPost, reg.path(): http.MethodGet} {
		l.refused(l.send(method, path, publicClient, "Authorization", "Bearer "+reg.Token), http.StatusNotFound, "not_found")
	}
	if _, err := l.lookup(reg.ID); err != nil {
		t.Errorf("a client people approved earlier: %v", err)
	}
}

func TestRegisteredIDs_G17(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Registration.RatePerMinute = 0 })
	seen := map[string]bool{}
	for range 200 {
		reg := l.register(publicClient)
		if isDocumentURL(reg.ID) || seen[reg.ID] {
			t.Fatalf("id %s", reg.ID)
		}
		seen[reg.ID] = true
	}
}
