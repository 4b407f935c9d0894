//go:build postgres

package pgstore

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/moving"
)

// A machine whose clock is ten minutes behind the database's moves its file there and
// back: a record ends when it would have, for everybody.
func TestMoveBetweenClocks(t *testing.T) {
	const ahead = 10 * time.Minute
	path, schema, now := filepath.Join(t.TempDir(), "db"), server.Schema(), time.Now()
	file, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ends := now.Add(time.Hour)
	_, err = file.UseOnce(t.Context(), storage.HashOf("jti"), ends, now)
	_, _, person := file.SavePerson(t.Context(), storage.PersonLogin{Person: storage.Person{Issuer: "i", Subject: "alice", DueAt: now.Add(time.Minute), ExpiresAt: ends}}, now)
	_, _, key := file.PutVirtualKey(t.Context(), storage.VirtualKey{Issuer: "i", Look: "a"})
	if err := errors.Join(err, person, key, file.PutSiteValue(t.Context(), storage.SiteValue{Issuer: "i", Name: "n", Text: "t", ExpiresAt: ends}), file.Close()); err != nil {
		t.Fatal(err)
	}
	there := moveApart(t, ahead, boltstore.MovePlace{Path: path}, MovePlace{parsed(t, schema)})

	s := open(t, schema)
	s.db.clock.Set(ahead) // the machine that moved it
	if v, err := s.SiteValue(t.Context(), "i", "n", now); err != nil || !v.ExpiresAt.Equal(ends) {
		t.Errorf("site value %+v, %v; want it to end at %v", v, err, ends)
	}
	if due, err := s.DuePersons(t.Context(), "i", 9, now, ends); err != nil || len(due) != 0 {
		t.Errorf("due too early: %+v, %v", due, err)
	}
	s.db.clock.Set(0) // another, which agrees with the database
	at := ends.Add(ahead)
	if v, err := s.SiteValue(t.Context(), "i", "n", now); err != nil || !v.ExpiresAt.Equal(at) {
		t.Errorf("site value %+v, %v; want it to end at %v", v, err, at)
	}
	if used, err := s.Used(t.Context(), storage.HashOf("jti"), at.Add(-time.Second)); err != nil || !used {
		t.Errorf("a value used once is forgotten too early: %v", err)
	}
	if n, err := s.Sweep(t.Context(), at.Add(-time.Second)); err != nil || n != 0 {
		t.Errorf("swept %d, %v; want nothing", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	back := moveApart(t, ahead, MovePlace{parsed(t, schema)}, boltstore.MovePlace{Path: filepath.Join(t.TempDir(), "db")})
	if text := there.Difference(back); text != "" {
		t.Error("there and back again:", text)
	}
}

// moveApart moves with the database's clock so far ahead.
func moveApart(t *testing.T, ahead time.Duration, from, to move.Place) *move.Survey {
	t.Helper()
	m := &move.Move{FromName: from.Name(), ToName: to.Name(), Seen: func(string, string, int) {}, Now: time.Now}
	for _, of := range []struct {
		place move.Place
		side  *move.Side
	}{{from, &m.From}, {to, &m.To}} {
		side, err := of.place.Open(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := side.Close(); err != nil {
				t.Error(err)
			}
		}()
		if database, is := side.(*moving.Side); is {
			database.Ahead = ahead
		}
		*of.side = side
	}
	done, err := m.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return done.Survey
}
