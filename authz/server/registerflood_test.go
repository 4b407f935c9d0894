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
func (l *lab) registerFrom(address string) registration {
	l.t.Helper()
	r := httptest.NewRequest(http.MethodPost, labIssuer+RegisterPath, strings.NewReader(strings.Replace(publicClient, "http://127.0.0.1/cb", labRedirect, 1)))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = address
	l.advance(time.Millisecond)
	return l.registered(l.serve(r), http.StatusCreated)
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
			l := newLab(t, func(c *labSite) { c.Registration.RateLimit, c.Registration.MaxUnused = new(0), new(50) })
			rightful := []registration{l.registerFrom("198.51.100.1"), l.registerFrom("2001:db8:ffff::1")}
			for i := range 500 {
				l.registerFrom(address(i))
			}
			rightful = append(rightful, l.registerFrom("203.0.113.1"))
			for i, reg := range rightful {
				if _, err := l.lookup(reg.ID); err != nil {
					t.Errorf("rightful client %d is gone: %v", i, err)
				}
			}
		})
	}
}

// A client whose person is on the page is spared, also from a flood of its own
// sender.
func TestClientUnderWayIsSpared_G01(t *testing.T) {
	l := newLab(t, func(c *labSite) { c.Registration.RateLimit, c.Registration.MaxUnused = new(0), new(20) })
	underWay, idle := l.registerFrom("192.0.2.1"), l.registerFrom("192.0.2.1")
	f := l.identified(request("client_id", underWay.ID), alice)
	for range 100 {
		l.registerFrom("192.0.2.1")
	}
	if _, err := l.lookup(idle.ID); err == nil {
		t.Error("nothing was displaced")
	}
	if _, err := l.lookup(underWay.ID); err != nil {
		t.Errorf("the client whose person is on the page is gone: %v", err)
	}
	if _, err := l.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: grants.ResourcesOf(l.as.Flows.Servers(f))}); err != nil {
		t.Errorf("the person cannot finish: %v", err)
	}

	left := l.registerFrom("192.0.2.1")
	l.begin(request("client_id", left.ID))
	l.advance(time.Duration(config.DefaultLifetimes.FlowLifetime))
	for range 100 {
		l.registerFrom("192.0.2.1")
	}
	if _, err := l.lookup(left.ID); err == nil {
		t.Error("spared though its flow has ended")
	}
}

// A script that signs in as nobody in particular leaves a bounded number of
// grants.
func TestStrangersGrantsAreBounded_G01(t *testing.T) {
	l := newLab(t, func(c *labSite) { c.Registration.MaxUnproved = new(5) })
	sign := func(address string, n int) reply {
		f := l.identifiedFrom(address, request(), storage.Identity{Kind: "user_id", Subject: fmt.Sprint("user_id:", address, n), Name: "n"})
		target, err := l.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: grants.ResourcesOf(l.as.Flows.Servers(f))})
		if err != nil {
			t.Fatal(err)
		}
		l.advance(time.Second)
		return l.redeem("app", answer(t, target).Get("code"))
	}
	rightful := sign("198.51.100.1", 0)
	var scripted []reply
	for n := range 20 {
		scripted = append(scripted, sign("2001:db8::1", n))
	}
	for n, issued := range scripted {
		_, err := l.store.AccessToken(t.Context(), storage.HashOf(issued.Access), l.time())
		if lives := err == nil; lives != (n >= 15) {
			t.Errorf("grant %d lives: %t", n, lives)
		}
	}
	l.want(l.refresh("app", scripted[0].Refresh), http.StatusBadRequest, "invalid_grant")
	l.want(l.refresh("app", rightful.Refresh), http.StatusOK, "")
}

// A script that signs in on the account page leaves a bounded number of browser
// sessions; whoever has a key is not counted.
func TestStrangersSessionsAreBounded_G01(t *testing.T) {
	l := newLab(t, func(c *labSite) { c.Registration.MaxUnproved = new(5) })
	sign := func(who storage.Identity) *visit {
		v := &visit{l: l}
		v.signIn(who)
		l.advance(time.Second)
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
