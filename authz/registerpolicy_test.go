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
	first := l.register(publicClient)
	l.register(publicClient)
	l.send(http.MethodPost, RegisterPath, `{}`) // a failure counts, too
	w := l.send(http.MethodPost, RegisterPath, publicClient)
	l.refused(w, http.StatusTooManyRequests, "temporarily_unavailable")
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
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

func TestRegisterEviction_G02(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Registration.RatePerMinute, c.Registration.MaxUnused = 0, 5 })
	oldest := l.register(publicClient)
	for range 20 {
		l.advance(time.Second)
		l.register(publicClient)
	}
	newest := l.register(publicClient)
	if _, err := l.lookup(newest.ID); err != nil {
		t.Errorf("the newcomer: %v", err)
	}
	if _, err := l.lookup(oldest.ID); err == nil {
		t.Error("nothing was evicted")
	}
}

func TestRegistrationExpiry_G03(t *testing.T) {
	l := newLab(t)
	unused, used := l.register(publicClient), l.register(publicClient)
	l.approved(request("client_id", used.ID, "redirect_uri", "http://127.0.0.1:5000/cb"), alice)
	l.advance(DefaultRegistration.UnusedLifetime + time.Second)
	if _, err := l.lookup(unused.ID); asError(err).Code != "invalid_client" {
		t.Errorf("unused: %v", err)
	}
	if _, err := l.lookup(used.ID); err != nil {
		t.Errorf("used: %v", err)
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
