//go:build postgres

package pgstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
)

// What was put into another's row is damage to whoever reads it, and never another's.
func TestSwappedRows_K14_M02(t *testing.T) {
	schema := server.Schema()
	s := open(t, schema)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, now, issuer := t.Context(), time.Now(), "https://gw.example"
	key := func(who string) storage.ConnectionKey {
		return storage.ConnectionKey{Issuer: issuer, Owner: who, Server: "tracker"}
	}
	for _, who := range []string{"a", "b"} {
		id := storage.Identity{Kind: "virtual_key", Subject: who}
		_, _, err := s.PutConnection(ctx, storage.Connection{ConnectionKey: key(who), ID: who, State: storage.Active, Secret: []byte(who)}, now)
		_, _, person := s.SavePerson(ctx, storage.PersonLogin{Person: storage.Person{Issuer: issuer, Subject: who, ID: who, ExpiresAt: now.Add(time.Hour)}}, now)
		_, _, made := s.PutVirtualKey(ctx, storage.VirtualKey{Issuer: issuer, Look: who, Name: who})
		_, flow := s.SaveFlow(ctx, storage.Flow{ID: "flow " + who, Issuer: issuer, Identity: id, ExpiresAt: now.Add(time.Hour)}, now)
		_, submitted := s.SubmitFlow(ctx, storage.Submission{
			FlowID: "flow " + who, Issuer: issuer, Identity: id, Now: now,
			Grant: &storage.Grant{ID: "grant " + who, Issuer: issuer, ClientID: who, Identity: id, ExpiresAt: now.Add(time.Hour), AbsoluteExpiresAt: now.Add(time.Hour)},
			Code:  &storage.Code{Hash: storage.HashOf(who), GrantID: "grant " + who, Issuer: issuer, ClientID: who, ExpiresAt: now.Add(time.Minute)},
		})
		err = errors.Join(err, person, made, flow, submitted,
			s.CreateClient(ctx, storage.Client{ID: who, Issuer: issuer, Metadata: json.RawMessage(`{}`), ExpiresAt: now.Add(time.Hour)}, storage.Unused{}),
			s.PutSiteValue(ctx, storage.SiteValue{Issuer: issuer, Name: who, Text: who}))
		_, upstream := s.PutUpstreamClient(ctx, storage.UpstreamClient{Issuer: issuer, Provider: "p", Server: who, Secret: []byte(who)}, nil, now)
		if err := errors.Join(err, upstream); err != nil {
			t.Fatal(err)
		}
	}
	reads := map[string]func(who string) error{
		"connections":      func(who string) error { return last(s.Connection(ctx, key(who), now)) },
		"persons":          func(who string) error { return last(s.Person(ctx, issuer, who, now)) },
		"virtual_keys":     func(string) error { _, _, err := s.VirtualKeys(ctx, issuer); return err },
		"flows":            func(who string) error { return last(s.Flow(ctx, "flow "+who, now)) },
		"grants":           func(who string) error { return last(s.Grant(ctx, "grant "+who, now)) },
		"clients":          func(who string) error { return last(s.Client(ctx, who, now)) },
		"site_values":      func(who string) error { return last(s.SiteValue(ctx, issuer, who, now)) },
		"upstream_clients": func(who string) error { return last(s.UpstreamClient(ctx, issuer, "p", who, now)) },
	}
	for table, read := range reads {
		if err := read("a"); err != nil {
			t.Errorf("%s: %v before anything was swapped", table, err)
		}
		column := map[string]string{"connections": "owner", "virtual_keys": "id"}[table]
		if column == "" {
			column = "id"
		}
		if table == "virtual_keys" { // those of two issuers, as all of one are read together
			sql(t, fmt.Sprintf(`update %s.virtual_keys set body = replace(convert_from(body, 'UTF8'), 'https://gw.example', 'https://other')::bytea`, schema))
		} else {
			sql(t, fmt.Sprintf(`update %[1]s.%[2]s x set body = (select body from %[1]s.%[2]s y where y.%[3]s <> x.%[3]s)`, schema, table, column))
		}
		for _, who := range []string{"a", "b"} {
			if err := read(who); !errors.Is(err, record.ErrCorrupt) {
				t.Errorf("%s of %s: %v after they were swapped, want %v", table, who, err, record.ErrCorrupt)
			}
		}
	}
	for _, who := range []string{"a", "b"} {
		if g, err := s.LastGrant(ctx, issuer, who, who, now); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the last grant of %s is %q, %v after they were swapped, want none", who, g.ID, err)
		}
	}
	side, err := MovePlace{Config: parsed(t, schema)}.Open(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := side.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, err = move.Look(ctx, side, nil, func(string, int) {})
	if err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("moved from: %v, want that a row cannot be read", err)
	}
}

func last[T any](_ T, err error) error { return err }

func parsed(t *testing.T, schema string) *Config {
	t.Helper()
	c, err := Parse(Options{DSN: server.DSN(), Schema: schema, MaxConnections: 2})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A schema with a mark is refused in words, and by a program that knows no marks as one
// of a newer program. Nothing is written to it.
func TestMarkedSchema_M08(t *testing.T) {
	schema := server.Schema()
	config := parsed(t, schema)
	side, err := MovePlace{Config: config}.Open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	mark := move.Mark{ID: "1", State: move.Filling, Other: "the file /old.db", Since: time.Unix(0, 0)}
	if err := errors.Join(side.SetMark(t.Context(), mark), side.Close()); err != nil {
		t.Fatal(err)
	}
	before := versionOf(t, schema)
	if usable := before[1]; usable <= 1_000_000 { // programs that know no marks compare this with what they know
		t.Errorf("the schema can be used by programs from version %d on, want that none can", usable)
	}
	s, err := Open(t.Context(), config)
	if err == nil {
		err = errors.Join(errors.New("opened"), s.Close())
	}
	if !strings.Contains(err.Error(), "it is being filled with the records of the file /old.db") {
		t.Errorf("opened with a mark: %v", err)
	}
	if after := versionOf(t, schema); after != before {
		t.Errorf("version, usable from, tables: %v, and were %v", after, before)
	}
}

// versionOf returns the version of a schema, from which on it can be used, and how many
// tables there are.
func versionOf(t *testing.T, schema string) (v [3]int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	err = conn.QueryRow(t.Context(), `select version, usable_from, (select count(*) from information_schema.tables where table_schema = '`+schema+`') from `+schema+`.version`).Scan(&v[0], &v[1], &v[2])
	if err != nil {
		t.Fatal(err)
	}
	return v
}
