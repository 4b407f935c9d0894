package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// registerFrom registers a client from an address, each a moment after the last:
// of those of one moment the ID, which is random, would decide which is the oldest.
func (ts *testServer) registerFrom(address string) registration {
	ts.t.Helper()
	r := httptest.NewRequest(http.MethodPost, testIssuer+RegisterPath, strings.NewReader(strings.Replace(publicClient, "http://127.0.0.1/cb", testRedirect, 1)))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = address
	ts.clock.Advance(time.Millisecond)
	return ts.registered(ts.serve(r), http.StatusCreated)
}

// Whoever holds a whole block of addresses displaces what they registered
// themselves, and nobody else's.
func TestFloodOfABlockDisplacesItself_G01(t *testing.T) {
	for name, address := range map[string]func(i int) string{
		"a /56":       func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i%0x100) },
		"a /48":       func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i*0x95%0x10000) },
		"an IPv4 /24": func(i int) string { return fmt.Sprintf("192.0.2.%d", i%256) },
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, func(c *siteConfig) { c.Registration.RateLimit, c.Registration.MaxUnused = new(0), new(50) })
			rightful := []registration{ts.registerFrom("198.51.100.1"), ts.registerFrom("2001:db8:ffff::1")}
			for i := range 500 {
				ts.registerFrom(address(i))
			}
			rightful = append(rightful, ts.registerFrom("203.0.113.1"))
			for i, reg := range rightful {
				if _, err := ts.lookup(reg.ID); err != nil {
					t.Errorf("rightful client %d is gone: %v", i, err)
				}
			}
		})
	}
}

// A client whose person is on the page is spared, also from a flood of its own
// sender.
func TestClientUnderWayIsSpared_G01(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.RateLimit, c.Registration.MaxUnused = new(0), new(20) })
	underWay, idle := ts.registerFrom("192.0.2.1"), ts.registerFrom("192.0.2.1")
	f := ts.identified(request("client_id", underWay.ID), alice)
	for range 100 {
		ts.registerFrom("192.0.2.1")
	}
	if _, err := ts.lookup(idle.ID); err == nil {
		t.Error("nothing was displaced")
	}
	if _, err := ts.lookup(underWay.ID); err != nil {
		t.Errorf("the client whose person is on the page is gone: %v", err)
	}
	if _, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: grants.ResourcesOf(ts.as.Flows.Servers(f))}); err != nil {
		t.Errorf("the person cannot finish: %v", err)
	}

	left := ts.registerFrom("192.0.2.1")
	ts.begin(request("client_id", left.ID))
	ts.clock.Advance(time.Duration(config.DefaultLifetimes.FlowLifetime))
	for range 100 {
		ts.registerFrom("192.0.2.1")
	}
	if _, err := ts.lookup(left.ID); err == nil {
		t.Error("spared though its flow has ended")
	}
}

// A script that signs in as nobody in particular leaves a bounded number of
// grants.
func TestStrangersGrantsAreBounded_G01(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.MaxUnproved = new(5) })
	sign := func(address string, n int) reply {
		f := ts.identifiedFrom(address, request(), storage.Identity{Kind: "user_id", Subject: fmt.Sprint("user_id:", address, n), Name: "n"})
		target, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: grants.ResourcesOf(ts.as.Flows.Servers(f))})
		if err != nil {
			t.Fatal(err)
		}
		ts.clock.Advance(time.Second)
		return ts.redeem("app", answer(t, target).Get("code"))
	}
	rightful := sign("198.51.100.1", 0)
	var scripted []reply
	for n := range 20 {
		scripted = append(scripted, sign("2001:db8::1", n))
	}
	for n, issued := range scripted {
		_, err := ts.store.AccessToken(t.Context(), storage.HashOf(issued.Access), ts.clock.Now())
		if lives := err == nil; lives != (n >= 15) {
			t.Errorf("grant %d lives: %t", n, lives)
		}
	}
	ts.want(ts.refresh("app", scripted[0].Refresh), http.StatusBadRequest, "invalid_grant")
	ts.want(ts.refresh("app", rightful.Refresh), http.StatusOK, "")
}

// A script that signs in on the account page leaves a bounded number of browser
// sessions; whoever has a key is not counted.
func TestStrangersSessionsAreBounded_G01(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.Registration.MaxUnproved = new(5) })
	sign := func(who storage.Identity) *visit {
		v := &visit{ts: ts}
		v.signIn(who)
		ts.clock.Advance(time.Second)
		return v
	}
	proved := sign(keyIdentity("team"))
	var scripted []*visit
	for n := range 20 {
		scripted = append(scripted, sign(storage.Identity{Kind: "user_id", Subject: fmt.Sprint("user_id:", n), Name: "n"}))
	}
	for n, v := range append(scripted, proved) {
		s, _, err := v.load()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Identity != nil; got != (n >= 15) {
			t.Errorf("browser %d is signed in: %t", n, got)
		}
	}
}
