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
	server := pgtest.For(t, pgtest.Options{})
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
	for _, name := range []string{sealed.SigningKeysName, storage.InitialTokensName, "another"} {
		if err := s.PutSiteValue(ctx, storage.SiteValue{Issuer: site, Name: name, Text: "text"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.UseOnce(ctx, storage.HashOf("used"), now.Add(time.Hour), now); err != nil {
		t.Fatal(err)
	}
	who := storage.Identity{Kind: "virtual_key", Subject: "virtual_key:carol"}
	account := storage.ConnectionKey{Issuer: site, Owner: who.Subject, Server: "github"}
	if _, v, err := s.PutConnection(ctx, storage.Connection{ConnectionKey: account, ID: "id", State: storage.Active, Secret: []byte("x")}, now); err != nil || v != storage.OK {
		t.Fatal(v, err)
	}
	if v, err := s.PutUpstreamClient(ctx, storage.UpstreamClient{Issuer: site, Provider: "https://p.example", Server: "github", Secret: []byte("x"), CreatedAt: now}, nil, now); err != nil || v != storage.OK {
		t.Fatal(v, err)
	}
	if _, v, err := s.SavePerson(ctx, storage.PersonLogin{Person: storage.Person{Issuer: site, Subject: "oidc:jane", Kind: "oidc", ID: "jane", ExpiresAt: now.Add(time.Hour)}}, now); err != nil || v != storage.OK {
		t.Fatal(v, err)
	}
	if err := s.QueueRevocation(ctx, storage.ProviderRevocation{ID: "due", Issuer: site, Server: "github", Secret: []byte("x"), DueAt: now, ExpiresAt: now.Add(time.Hour)}); err != nil {
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
	contents := func(table string) (all string) {
		t.Helper()
		all, err := server.Text(`select coalesce(string_agg(row::text, ' ' order by row::text), '') from back.` + table + ` row`)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	stays := map[string]string{}
	for _, table := range []string{"clients", "connections", "upstream_clients", "persons", "revocations", "used_values"} {
		if stays[table] = contents(table); stays[table] == "" {
			t.Fatalf("nothing of %s could be lost", table)
		}
	}

	ended, err := s.EndSignIns(ctx, now)
	if err != nil || ended.Flows < 1 || ended.SigningKeys != 1 || ended.InitialTokens != 1 || !slices.Contains(ended.VirtualKeys, "carol") {
		t.Errorf("ended %+v, %v", ended, err)
	}
	t.Logf("ended %+v", ended)
	for _, table := range []string{"access_tokens", "refresh_tokens", "replays", "codes", "grants", "flows", "browser_sessions", "connect_states"} {
		if n := rows(table); n != "0" {
			t.Errorf("%s rows are left in %s", n, table)
		}
	}
	for table, want := range stays {
		if got := contents(table); got != want {
			t.Errorf("%s: got %s, want what there was: %s", table, got, want)
		}
	}
	keys, number, err := s.VirtualKeys(ctx, site)
	at := slices.IndexFunc(keys, func(k storage.VirtualKey) bool { return k.Name == "carol" })
	if err != nil || at < 0 || !keys[at].Disabled || keys[at].Withdrawn != before.Withdrawn+1 || keys[at].Revision <= before.Revision || number < keys[at].Revision {
		t.Errorf("virtual keys %+v, number %d, %v", keys, number, err)
	}
	for _, name := range []string{sealed.SigningKeysName, storage.InitialTokensName} {
		if _, err := s.SiteValue(ctx, site, name, now); err != storage.ErrNotFound {
			t.Errorf("the %s: %v", name, err)
		}
	}
	if _, err := s.SiteValue(ctx, site, "another", now); err != nil {
		t.Errorf("another site value: %v", err)
	}
	if c, err := s.Connection(ctx, account, now); err != nil || c.State != storage.Active || string(c.Secret) != "x" {
		t.Errorf("the account: %+v, %v", c, err)
	}
	if again, err := s.EndSignIns(ctx, now); err != nil || fmt.Sprint(again) != fmt.Sprint(storage.Ended{}) {
		t.Errorf("again: ended %+v, %v", again, err)
	}
}
