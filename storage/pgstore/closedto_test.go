//go:build postgres

package pgstore

import (
	"errors"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
)

// A store that is open already while its records are moved away, as of a Caddy that was
// cut off or about to start, does nothing in the schema any more; and goes on when the
// schema is its own again.
func TestSchemaMovesUnderOpenStore(t *testing.T) {
	schema := server.Schema()
	ctx, now := t.Context(), time.Now()
	side, err := MovePlace{parsed(t, schema)}.Open(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = side.Close() })
	mark := func(m move.Mark) {
		t.Helper()
		if err := side.SetMark(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	for name, notices := range map[string]func(*Store) error{
		"it checks": func(s *Store) error { return s.Check(ctx) },
		"it says that it is there": func(s *Store) error {
			_, err := s.AnnounceInstance(ctx, storage.Instance{ID: "i"}, time.Minute)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, schema)
			t.Cleanup(func() { _ = s.Close() })
			use := func() error {
				_, read := s.Used(ctx, storage.HashOf("v"), now)
				_, write := s.UseOnce(ctx, storage.HashOf("v"), now.Add(time.Hour), now)
				if (read == nil) != (write == nil) {
					t.Errorf("reading: %v, writing: %v", read, write)
				}
				return errors.Join(read, write)
			}
			if err := errors.Join(use(), notices(s)); err != nil {
				t.Fatal(err)
			}
			mark(move.Mark{ID: name, State: move.Leaving, Other: "elsewhere", Since: now})
			if err := notices(s); !errors.Is(err, errNotOurs) {
				t.Errorf("noticed %v, want that the schema is closed", err)
			}
			if err := use(); !errors.Is(err, errNotOurs) || storage.Unreachable(err) {
				t.Errorf("used: %v, want that the schema is closed", err)
			}
			mark(move.Mark{})
			if err := errors.Join(s.Check(ctx), use(), notices(s)); err != nil {
				t.Errorf("when it is its own again: %v", err)
			}
		})
	}
}
