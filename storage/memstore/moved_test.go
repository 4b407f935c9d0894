package memstore

import (
	"context"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// Whoever can write to the database cannot give one person's connection to
// another by moving records: they know where they belong.
func TestMovedRecords_M02(t *testing.T) {
	ctx, now := context.Background(), time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	e := newEngine()
	s := kv.New(e)
	const issuer = "https://mcp.example.com"
	owners := []string{"alice", "carol"}
	key := func(owner string) storage.ConnectionKey {
		return storage.ConnectionKey{Issuer: issuer, Owner: owner, Server: "notion"}
	}
	for _, owner := range owners {
		c := storage.Connection{ConnectionKey: key(owner), ID: "c-" + owner, State: storage.Active, Secret: []byte(owner)}
		if _, v, err := s.PutConnection(ctx, c, now); err != nil || v != storage.OK {
			t.Fatal(v, err)
		}
		client := storage.UpstreamClient{Issuer: issuer, Provider: owner, Server: "notion", Secret: []byte(owner)}
		if v, err := s.PutUpstreamClient(ctx, client, nil, now); err != nil || v != storage.OK {
			t.Fatal(v, err)
		}
	}
	swap(t, e, 'o') // connections
	swap(t, e, 'p') // our registrations at providers
	if all, err := s.UpstreamClients(ctx, issuer, now); err == nil {
		t.Errorf("clients: %+v", all)
	}
	for _, owner := range owners {
		if c, err := s.Connection(ctx, key(owner), now); err == nil {
			t.Errorf("connection of %s: %+v", owner, c)
		}
		if c, err := s.ConnectionByID(ctx, issuer, "c-"+owner, now); err == nil {
			t.Errorf("connection by ID of %s: %+v", owner, c)
		}
		if of, err := s.ConnectionsOf(ctx, issuer, owner, now); err == nil {
			t.Errorf("connections of %s: %+v", owner, of)
		}
		if c, err := s.UpstreamClient(ctx, issuer, owner, "notion", now); err == nil {
			t.Errorf("client at %s: %+v", owner, c)
		}
	}
}

// swap exchanges the two records of a kind.
func swap(t *testing.T, e *engine, kind byte) {
	t.Helper()
	err := e.Update(context.Background(), func(tx kv.Tx) error {
		var keys, values [][]byte
		for k, v := range tx.Scan([]byte{kind}) {
			if k[0] == kind {
				keys, values = append(keys, k), append(values, v)
			}
		}
		if len(keys) != 2 {
			t.Fatalf("%d records of kind %c", len(keys), kind)
		}
		if err := tx.Put(keys[0], values[1]); err != nil {
			return err
		}
		return tx.Put(keys[1], values[0])
	})
	if err != nil {
		t.Fatal(err)
	}
}
