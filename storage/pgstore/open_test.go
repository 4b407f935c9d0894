//go:build postgres

package pgstore

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// Each thing that can be wrong with a database is said with what to do.
func TestOpenSaysWhatToDo(t *testing.T) {
	schema := server.Schema()
	s := open(t, schema)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	newer := server.Schema()
	if err := open(t, newer).Close(); err != nil {
		t.Fatal(err)
	}
	sql(t, "update "+newer+".version set version = 99, usable_from = 98")
	sql(t, `create role secretive login password 'right'; create role stranger login; create role reader login;
		alter role reader set default_transaction_read_only = on`)
	hba := filepath.Join(server.Dir(), "data", "pg_hba.conf")
	before, err := os.ReadFile(hba)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hba, append([]byte("local all secretive scram-sha-256\n"), before...), 0o600); err != nil {
		t.Fatal(err)
	}
	sql(t, "select pg_reload_conf()")
	time.Sleep(200 * time.Millisecond)
	socket := "host=" + server.Dir() + " "
	for name, test := range map[string]struct {
		dsn, schema, want string
	}{
		"wrong password":    {socket + "user=secretive password=canary dbname=postgres", "", `the database refused user "secretive"; check user and password`},
		"no such database":  {socket + "user=postgres dbname=nowhere", "", `there is no database "nowhere"; create it: CREATE DATABASE nowhere`},
		"unknown parameter": {socket + "user=postgres dbname=postgres schema=x", "", `remove it (the schema is the option schema of storage postgres): FATAL: unrecognized configuration parameter "schema"`},
		"value not taken":   {socket + "user=postgres dbname=postgres lock_timeout=soon", "", `the DSN has a parameter that the database does not take`},
		"unreachable":       {"host=127.0.0.1 port=1 user=postgres password=canary sslmode=disable", "", "cannot reach the database at 127.0.0.1 port 1; check host and port"},
		"newer schema":      {server.DSN(), newer, `schema "` + newer + `" has version 99, and this program knows up to ` + strconv.Itoa(len(migrations)) + `; run the newer program`},
		"read-only":         {socket + "user=reader dbname=postgres", schema, "the database is a read-only replica; name the primary"},
		"schema not ours":   {socket + "user=stranger dbname=postgres", "", `user "stranger" may not make or use schema "mcp_oauth"; as its owner: CREATE SCHEMA mcp_oauth AUTHORIZATION stranger`},
		"tables not ours":   {socket + "user=stranger dbname=postgres", schema, `user "stranger" may not make or use schema "` + schema + `"`},
		"name that is none": {"host=does-not-exist.invalid user=postgres password=canary sslmode=verify-full", "", "cannot reach the database at does-not-exist.invalid port 5432"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Parse(Options{DSN: test.dsn, Schema: test.schema})
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), c)
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got\n%v\nwant\n%s", err, test.want)
			}
		})
	}
}

// A schema of the first version is brought up to date, and keeps what it has.
func TestMigrateFirstVersion(t *testing.T) {
	schema := server.Schema()
	s := open(t, schema)
	value := storage.SiteValue{Issuer: "https://mcp.example.com", Name: "a", Text: "kept"}
	if err := s.PutSiteValue(t.Context(), value); err != nil {
		t.Fatal(err)
	}
	sql(t, "drop table "+schema+".virtual_keys, "+schema+".virtual_key_changes, "+schema+".persons, "+schema+".instances, "+schema+".rates, "+schema+".changes; "+
		"alter table "+schema+".access_tokens drop column person; alter table "+schema+".grants drop column person; "+
		"alter table "+schema+".flows drop column person, drop column owner; alter table "+schema+".connect_states drop column browser, drop column flow, drop column session, drop column client; "+
		"alter table "+schema+".attempts drop column answer; alter table "+schema+".browser_sessions drop column person, drop column owner; "+
		"drop index "+schema+".grants_of_subject_by_client; create index grants_of_subject on "+schema+".grants (of_subject) where of_subject is not null; "+
		"drop index "+schema+".grants_of_client_by_id; create index grants_of_client on "+schema+".grants (of_client) where of_client is not null; "+
		"update "+schema+".version set version = 1, usable_from = 1")
	_ = s.Close()
	s = open(t, schema)
	defer s.Close()
	if got, err := s.SiteValue(t.Context(), value.Issuer, value.Name, time.Now()); err != nil || got != value {
		t.Errorf("got %+v, %v; want %+v", got, err, value)
	}
	if _, v, err := s.PutVirtualKey(t.Context(), storage.VirtualKey{Issuer: value.Issuer, Look: "alice"}); err != nil || v != storage.OK {
		t.Errorf("got %v, %v; want %v", v, err, storage.OK)
	}
}

// Several processes that start at once make the schema once.
func TestTogether(t *testing.T) {
	schema := server.Schema()
	const processes = 5
	stores := make(chan *Store, processes)
	for range processes {
		go func() { stores <- open(t, schema) }()
	}
	now := time.Now()
	firsts := 0
	for range processes {
		s := <-stores
		first, err := s.UseOnce(t.Context(), storage.HashOf("jti"), now.Add(time.Hour), now)
		if err != nil {
			t.Error(err)
		}
		if first {
			firsts++
		}
		defer func() { _ = s.Close() }()
	}
	if firsts != 1 {
		t.Errorf("%d of %d were the first", firsts, processes)
	}
}

// A migration of many records takes longer than a verb may, and so does waiting for
// another instance's.
func TestMigrationMayTakeLong(t *testing.T) {
	schema := server.Schema()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", migrationLock(schema)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	released := make(chan struct{})
	defer func() { <-released }() // before the connection is closed
	time.AfterFunc(maxDuration+time.Second, func() {
		defer close(released)
		if _, err := conn.Exec(ctx, "select pg_advisory_unlock_all()"); err != nil {
			t.Error(err)
		}
	})
	s := open(t, schema)
	if took := time.Since(began); took < maxDuration {
		t.Errorf("it did not wait: %v", took)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Instances whose clocks differ by minutes agree on when a record ends.
func TestClocksApart(t *testing.T) {
	_, schema, _ := openSchema(t, schemas)
	ahead, behind := open(t, schema), open(t, schema)
	defer func() { _, _ = ahead.Close(), behind.Close() }()
	// Their own clocks, as their callers have them.
	now := time.Now()
	ahead.db.clock.Set(-10 * time.Minute)
	behind.db.clock.Set(10 * time.Minute)
	aheads, behinds := now.Add(10*time.Minute), now.Add(-10*time.Minute)
	value := storage.SiteValue{Issuer: "https://a.example", Name: "n", ExpiresAt: aheads.Add(time.Minute)}
	if err := ahead.PutSiteValue(t.Context(), value); err != nil {
		t.Fatal(err)
	}
	got, err := behind.SiteValue(t.Context(), value.Issuer, value.Name, behinds.Add(time.Minute-time.Second))
	if want := behinds.Add(time.Minute); err != nil || !got.ExpiresAt.Equal(want) {
		t.Errorf("ends at %v, %v; want %v", got.ExpiresAt, err, want)
	}
	if _, err := behind.SiteValue(t.Context(), value.Issuer, value.Name, behinds.Add(time.Minute)); err != storage.ErrNotFound {
		t.Errorf("after its end: %v", err)
	}
	jti := storage.HashOf("jti")
	if first, err := behind.UseOnce(t.Context(), jti, behinds.Add(time.Minute), behinds); err != nil || !first {
		t.Fatal(first, err)
	}
	if first, err := ahead.UseOnce(t.Context(), jti, aheads.Add(time.Minute), aheads); err != nil || first {
		t.Errorf("used twice: %t, %v", first, err)
	}
}

// Nobody reads a token out of a dump.
func TestNoSecretInTheDatabase_M01(t *testing.T) {
	s, _, _ := openSchema(t, schemas)
	secrets := storetest.Life(t, s, seal.Under)
	text := dump(t, s)
	if !strings.Contains(text, hex.EncodeToString([]byte("canary-client"))) {
		t.Fatalf("the dump has not what is no secret:\n%s", text)
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString([]byte(secret))) {
			t.Errorf("%s is in the dump", secret)
		}
	}
}
