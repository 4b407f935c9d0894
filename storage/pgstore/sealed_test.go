//go:build postgres

package pgstore

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/reseal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// M03: instances that share a database seal all of it anew, together, while accounts
// are refreshed.
func TestSealedAnewTogether_M03(t *testing.T) {
	_, schema, _ := openSchema(t, schemas)
	now := time.Now()
	ring := func(keys ...byte) *seal.Keyring {
		var all [][]byte
		for _, b := range keys {
			all = append(all, bytes.Repeat([]byte{b}, seal.KeySize))
		}
		k, err := seal.NewKeyring(all...)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	old, both := ring(1), ring(2, 1)
	first := open(t, schema)
	defer func() { _ = first.Close() }()
	const people = 300
	connection := func(n int) storage.Connection {
		k := storage.ConnectionKey{Issuer: "https://mcp.example.com", Owner: fmt.Sprint("virtual_key:", n), Server: "github"}
		return storage.Connection{ConnectionKey: k, ID: fmt.Sprint("id ", n), State: storage.Active, CreatedAt: now}
	}
	for n := range people {
		c := connection(n)
		c.Secret = old.Seal([]byte(c.ID), sealed.Connection(c.ConnectionKey, c.ID)...)
		if _, v, err := first.PutConnection(t.Context(), c, now); err != nil || v != storage.OK {
			t.Fatal(v, err)
		}
	}
	var all sync.WaitGroup
	for range 3 { // each with a few looks
		all.Go(func() {
			s := open(t, schema)
			defer func() { _ = s.Close() }()
			clock := now
			r := reseal.New(s, both, func() time.Time { return clock })
			for looks := 0; looks < 3; clock = clock.Add(2 * time.Hour) {
				ended, err := r.Turn(t.Context())
				if err != nil {
					t.Log(err) // two at once have said which key is the first
				}
				if ended {
					looks++
				}
			}
			if got := r.Status(); got.Pending(both.IDs()[0]).Total() != 0 || got.Unreadable.Total() != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	all.Go(func() { // somebody refreshes meanwhile
		for n := range people {
			of := connection(n)
			of.Revision = 1
			c, v, err := first.LeaseConnection(t.Context(), of, "holder", now.Add(time.Minute), now)
			if err != nil || v != storage.OK {
				t.Errorf("%d: %v, %v", n, v, err)
				continue
			}
			c.Secret = both.Seal([]byte(c.ID), sealed.Connection(c.ConnectionKey, c.ID)...)
			if _, v, err := first.PutConnection(t.Context(), c, now); err != nil || v != storage.OK {
				t.Errorf("%d: %v, %v", n, v, err)
			}
		}
	})
	all.Wait()
	for n := range people {
		want := connection(n)
		c, err := first.Connection(t.Context(), want.ConnectionKey, now)
		if err != nil || c.Revision != 3 {
			t.Fatalf("%d: revision %d, %v", n, c.Revision, err)
		}
		if plain, err := ring(2).Open(c.Secret, sealed.Connection(c.ConnectionKey, c.ID)...); err != nil || string(plain) != c.ID {
			t.Errorf("%d: %q, %v", n, plain, err)
		}
	}
}
