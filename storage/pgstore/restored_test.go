//go:build postgres

package pgstore

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// What lets somebody in ends in a database that was put back; what people connected and
// registrations stay. Once more there is nothing left to end.
func TestEndSignIns_M14(t *testing.T) {
	server := startServer(t, pgtest.Options{})
	s := openAt(t, Options{DSN: server.DSN(), Schema: "back"})
	storetest.Life(t, s, seal.Under)
	const site = "https://mcp.example.com"
	ctx, now := t.Context(), time.Now()
	put := func(name string) storage.VirtualKey {
		t.Helper()
		k, v, err := s.PutVirtualKey(ctx, storage.VirtualKey{Issuer: site, Look: name, Name: name, Hash: storage.HashOf(name), CreatedAt: now})
		if err != nil || v != storage.OK {
			t.Fatal(v, err)
		}
		return k
	}
	before := put("carol")
	if _, err := s.SaveFlow(ctx, storage.Flow{ID: "under way", Issuer: site, ExpiresAt: now.Add(time.Hour)}, now); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{sealed.SigningKeysName, "another"} {
		if err := s.PutSiteValue(ctx, storage.SiteValue{Issuer: site, Name: name, Text: "text"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.UseOnce(ctx, storage.HashOf("used"), now.Add(time.Hour), now); err != nil {
		t.Fatal(err)
	}
	rows := func(table string) (n string) {
		t.Helper()
		n, err := server.Text(`select count(*)::text from back.` + table)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	stays := map[string]string{}
	for _, table := range []string{"clients", "connections", "upstream_clients", "persons", "revocations", "used_values"} {
		stays[table] = rows(table)
	}
	if stays["clients"] == "0" || stays["used_values"] == "0" {
		t.Fatalf("nothing could be lost: %v", stays)
	}

	ended, err := s.EndSignIns(ctx, now)
	if err != nil || ended.Flows < 1 || ended.SigningKeys != 1 || !slices.Contains(ended.VirtualKeys, "carol") {
		t.Errorf("ended %+v, %v", ended, err)
	}
	t.Logf("ended %+v", ended)
	for _, table := range []string{"access_tokens", "refresh_tokens", "replays", "codes", "grants", "flows", "browser_sessions", "connect_states"} {
		if n := rows(table); n != "0" {
			t.Errorf("%s rows are left in %s", n, table)
		}
	}
	for table, want := range stays {
		if got := rows(table); got != want {
			t.Errorf("%s: %s rows, want the %s that there were", table, got, want)
		}
	}
	keys, number, err := s.VirtualKeys(ctx, site)
	at := slices.IndexFunc(keys, func(k storage.VirtualKey) bool { return k.Name == "carol" })
	if err != nil || at < 0 || !keys[at].Disabled || keys[at].Withdrawn != before.Withdrawn+1 || keys[at].Revision <= before.Revision || number < keys[at].Revision {
		t.Errorf("virtual keys %+v, number %d, %v", keys, number, err)
	}
	if _, err := s.SiteValue(ctx, site, sealed.SigningKeysName, now); err != storage.ErrNotFound {
		t.Errorf("the signing keys: %v", err)
	}
	if _, err := s.SiteValue(ctx, site, "another", now); err != nil {
		t.Errorf("another site value: %v", err)
	}
	if again, err := s.EndSignIns(ctx, now); err != nil || fmt.Sprint(again) != fmt.Sprint(storage.Ended{}) {
		t.Errorf("again: ended %+v, %v", again, err)
	}
}
