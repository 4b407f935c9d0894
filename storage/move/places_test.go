package move_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
)

// place is where a store can be moved from and to, and how a Caddy opens it.
type place struct {
	move.Place
	store func() (storage.Store, error)
}

// places makes one of each kind. With the tag postgres, a database is one.
var places = []func(t *testing.T) place{file}

func file(t *testing.T) place {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	o := boltstore.Options{Timeout: 100 * time.Millisecond}
	return place{boltstore.MovePlace{Path: path, Options: o}, func() (storage.Store, error) { return opened(boltstore.Open(path, o)) }}
}

// opened keeps a nil store out of an interface.
func opened[S storage.Store](s S, err error) (storage.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// pairs runs a test from each kind of place to each other, or to another of its kind if
// there is but one.
func pairs(t *testing.T, test func(t *testing.T, from, to place)) {
	for i, from := range places {
		for j, to := range places {
			if i == j && len(places) > 1 {
				continue
			}
			t.Run(map[int]string{0: "file", 1: "database"}[i]+" to "+map[int]string{0: "file", 1: "database"}[j], func(t *testing.T) {
				test(t, from(t), to(t))
			})
		}
	}
}

// begin opens both places for a move, until the test ends or end is called.
func begin(t *testing.T, from, to move.Place) (m *move.Move, end func()) {
	t.Helper()
	source := open(t, from)
	target := open(t, to)
	m = &move.Move{
		From: source, To: target, FromName: from.Name(), ToName: to.Name(),
		Seen: func(string, string, int) {}, Now: time.Now,
	}
	closed := false
	end = func() {
		if !closed {
			closed = true
			for _, s := range []move.Side{source, target} {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	t.Cleanup(end)
	return m, end
}

func open(t *testing.T, p move.Place) move.Side {
	t.Helper()
	s, err := p.Open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run moves everything from one place to another.
func run(t *testing.T, from, to move.Place) move.Done {
	t.Helper()
	m, end := begin(t, from, to)
	defer end()
	m.Discard = true
	done, err := m.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return done
}
