package accounts

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (v *vaultInstance) wantRecent(id string, want func(Overview) bool) {
	v.t.Helper()
	o, err := v.Recent(id)
	switch {
	case want == nil && !errors.Is(err, ErrUnknownConnection):
		v.t.Errorf("%s: %+v, %v", id, o, err)
	case want != nil && (err != nil || !want(o)):
		v.t.Errorf("%s: %+v, %v", id, o, err)
	}
}

func TestRecentStatuses(t *testing.T) {
	v := newVault(t)
	pending := func(o Overview) bool { return o.Pending && !o.Failed && o.Mode == config.OAuth && o.ID == "" }
	failed := func(o Overview) bool { return o.Failed && !o.Pending }
	shared := v.key(storage.SharedOwner, v.servers["shared"])

	v.wantRecent("shared", nil)
	v.Started("shared", v.clock.Now().Add(time.Minute))
	v.Started("notion", v.clock.Now().Add(time.Minute)) // nobody's to start
	v.wantRecent("shared", pending)
	v.wantRecent("notion", nil)
	v.clock.Advance(time.Minute)
	v.wantRecent("shared", nil) // the link is over

	v.Started("shared", v.clock.Now().Add(time.Minute))
	v.connectEnded(shared, nil)
	v.wantRecent("shared", pending)
	v.connectEnded(shared, &client.Error{Problem: client.Declined})
	v.connectEnded(v.key(alice, v.servers["notion"]), &client.Error{Problem: client.Declined}) // the person was told
	v.wantRecent("shared", failed)
	v.wantRecent("notion", nil)

	v.connectAs(storage.SharedOwner, "shared")
	v.connectAs(alice, "notion")
	v.connectAs(storage.FlowOwner("f"), "notion")
	for _, k := range []storage.ConnectionKey{shared, v.key(alice, v.servers["notion"])} {
		c := v.record(k.Owner, k.Server)
		v.disconnect(k.Owner, k.Server)
		v.wantRecent(c.ID, func(o Overview) bool {
			return o.State == storage.Disconnected && o.Owner == k.Owner && o.TokenID == "" && o.UpdatedAt.Equal(v.clock.Now())
		})
	}
	v.wantRecent("shared", func(o Overview) bool { return o.State == storage.Disconnected })
	of := v.record(storage.FlowOwner("f"), "notion")
	v.disconnect(of.Owner, of.Server)
	v.wantRecent(of.ID, nil)
	other := v.instance()
	other.cfg.Issuer, other.deps.Shared = "https://other.example", v.deps.Shared
	other.wantRecent("shared", nil)
	v.clock.Advance(endedLifetime)
	v.wantRecent("shared", nil)
}

// What was started ends with its requests.
func TestEndStarted(t *testing.T) {
	v := newVault(t)
	start := func() {
		v.Started("shared", v.clock.Now().Add(time.Minute))
		state := storage.ConnectState{
			Hash: storage.HashOf("state"), ConnectionKey: v.key(storage.SharedOwner, v.servers["shared"]), Browser: testBrowser,
			ExpiresAt: v.clock.Now().Add(time.Minute),
		}
		if err := v.store.SaveConnectState(t.Context(), state); err != nil {
			t.Fatal(err)
		}
	}
	for _, server := range []string{"shared", "notion", "unknown"} {
		if _, err := v.EndStarted(t.Context(), server); !errors.Is(err, ErrUnknownConnection) {
			t.Errorf("%s, which nobody started: %v", server, err)
		}
	}
	start()
	o, err := v.EndStarted(t.Context(), "shared")
	if err != nil || o.State != storage.Disconnected || o.Pending || o.Owner != storage.SharedOwner {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := v.Finish(t.Context(), Answer{State: "state", Browser: testBrowser, Code: "code"}); problemOf(err) != RequestEnded {
		t.Errorf("a late Answer: %v", err)
	}
	if _, err := v.EndStarted(t.Context(), "shared"); !errors.Is(err, ErrUnknownConnection) {
		t.Errorf("ended again: %v", err)
	}
	start()
	v.store.setDown(true)
	if _, err := v.EndStarted(t.Context(), "shared"); !errors.Is(err, errStore) {
		t.Error(err)
	}
}

// What is remembered is bounded: what is over first goes first.
func TestRecentStatusesAreBounded(t *testing.T) {
	var p recentStatuses
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for i := range 2 * maxRecent {
		id := fmt.Sprint(i)
		p.put(storage.ConnectionKey{Server: id}, Overview{ID: id}, now, now.Add(time.Hour+time.Duration(i)))
	}
	_, oldest := p.find("", "0", now)
	_, newest := p.find("", fmt.Sprint(2*maxRecent-1), now)
	if len(p.byKey) != maxRecent || oldest || !newest {
		t.Errorf("%d are remembered, the first %t, the last %t", len(p.byKey), oldest, newest)
	}
	p.put(storage.ConnectionKey{Server: "later"}, Overview{ID: "later"}, now.Add(2*time.Hour), now.Add(3*time.Hour))
	if len(p.byKey) != 1 {
		t.Errorf("%d are remembered though they are over", len(p.byKey)-1)
	}
}
