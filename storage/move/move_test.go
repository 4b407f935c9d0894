package move_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
)

func survey(t *testing.T, p move.Place) *move.Survey {
	t.Helper()
	side := open(t, p)
	defer func() {
		if err := side.Close(); err != nil {
			t.Error(err)
		}
	}()
	s, err := move.Look(t.Context(), side, nil, func(string, int) {})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is there of each kind is there afterwards, and only there can a Caddy start.
func TestMoveEverything(t *testing.T) {
	defer move.SetBatch(move.SetBatch(7))
	pairs(t, func(t *testing.T, from, to place) {
		fill(t, from, 20, time.Now())
		want := survey(t, from)
		for _, c := range want.Counts {
			if c.Records == 0 {
				t.Errorf("there is no record of the kind %s to be moved: fill one", c.Kind)
			}
		}
		if done := run(t, from, to); done.Resumed || done.Already || want.Difference(done.Survey) != "" {
			t.Errorf("%+v, want all of it, moved now%s", done, want.Difference(done.Survey))
		}
		if text := want.Difference(survey(t, to)); text != "" {
			t.Error("the target has something else", text)
		}
		wantStarts(t, from, "were moved to "+to.Name())
		wantStarts(t, to, "")
		if done := run(t, from, to); !done.Already {
			t.Errorf("%+v, want that it was done before", done)
		}
	})
}

// wantStarts tells whether a Caddy starts on a place; refused is what it is told if not.
func wantStarts(t *testing.T, p place, refused string) {
	t.Helper()
	s, err := p.store()
	switch {
	case err == nil && refused == "":
		err = s.Close()
	case err != nil && refused != "" && strings.Contains(err.Error(), refused):
		err = nil
	case err == nil:
		err = errors.Join(errors.New("it starts"), s.Close())
	}
	if err != nil {
		t.Errorf("%s: %v, want %q", p.Name(), err, refused)
	}
}

// stopping is a side that dies at one of its changes: before it, or when it is made and
// nobody heard of it.
type stopping struct {
	move.Side
	left  *int
	after bool
}

var errKilled = errors.New("killed")

func (s stopping) change(change func() error) error {
	if *s.left--; *s.left != 0 {
		return change()
	}
	if s.after {
		return errors.Join(change(), errKilled)
	}
	return errKilled
}

func (s stopping) SetMark(ctx context.Context, m move.Mark) error {
	return s.change(func() error { return s.Side.SetMark(ctx, m) })
}

func (s stopping) Write(ctx context.Context, records []record.Moved, before, next move.Mark) error {
	return s.change(func() error { return s.Side.Write(ctx, records, before, next) })
}

// A move that is killed at any of its changes goes on when it is run again, and has the
// same in the end. Meanwhile a Caddy starts on one of both at most, and on none once
// anything was copied.
func TestMoveKilledAnywhere(t *testing.T) {
	before := move.SetBatch(9)
	t.Cleanup(func() { move.SetBatch(before) })
	killedAnywhere := func(after bool) func(t *testing.T, from, to place) {
		return func(t *testing.T, from, to place) {
			t.Parallel()
			fill(t, from, 15, time.Now())
			want := survey(t, from)
			for n, whole := 1, false; !whole; n++ {
				m, end := begin(t, from, to)
				m.Discard = true
				left := n
				m.From, m.To = stopping{m.From, &left, after}, stopping{m.To, &left, after}
				_, err := m.Run(t.Context())
				end()
				if whole = err == nil; !whole && !errors.Is(err, errKilled) {
					t.Fatalf("killed at change %d (after it: %t): %v", n, after, err)
				}
				if whole && n < 25 {
					t.Fatalf("whole after %d changes, want to have been killed at more", n)
				}
				if begun := n > 1 || after; begun && starts(from) && starts(to) {
					t.Fatalf("killed at change %d (after it: %t): a Caddy starts on both", n, after)
				}
				run(t, from, to)
				if text := want.Difference(survey(t, to)); text != "" {
					t.Fatalf("killed at change %d (after it: %t)%s", n, after, text)
				}
				wantStarts(t, from, "were moved")
				wantStarts(t, to, "")
				from, to = to, from // and back, over what was left there
			}
		}
	}
	t.Run("before a change", func(t *testing.T) { pairs(t, killedAnywhere(false)) })
	t.Run("after one", func(t *testing.T) { pairs(t, killedAnywhere(true)) })
}

func starts(p place) bool {
	s, err := p.store()
	return err == nil && s.Close() == nil
}

// What is used is never moved into, and what is in it stays.
func TestMoveRefused(t *testing.T) {
	pairs(t, func(t *testing.T, from, to place) {
		fill(t, from, 2, time.Now())
		fill(t, to, 1, time.Now())
		before := survey(t, to)
		for _, discard := range []bool{false, true} {
			m, end := begin(t, from, to)
			m.Discard = discard
			_, err := m.Run(t.Context())
			end()
			wantError(t, err, "has records, and is used as it is")
		}
		if text := before.Difference(survey(t, to)); text != "" {
			t.Error("the target was changed", text)
		}
		wantStarts(t, from, "")
		wantStarts(t, to, "")
	})
}

// Whoever stays with the source can, and the target of then is filled anew.
func TestMoveGivenUp(t *testing.T) {
	defer move.SetBatch(move.SetBatch(5))
	pairs(t, func(t *testing.T, from, to place) {
		fill(t, from, 10, time.Now())
		m, end := begin(t, from, to)
		left := 12
		m.To = stopping{m.To, &left, true}
		_, err := m.Run(t.Context())
		end()
		wantError(t, err, "run the same command again, which goes on from here")
		wantStarts(t, from, "are being moved to "+to.Name())
		wantStarts(t, to, "is being filled with the records of "+from.Name())
		m, end = begin(t, to, from)
		_, err = m.Run(t.Context())
		end()
		wantError(t, err, "cannot be moved from: it is being filled")

		side := open(t, to)
		_, err = move.Reopen(t.Context(), side)
		wantError(t, errors.Join(err, side.Close()), "only a part")
		side = open(t, from)
		if _, err := move.Reopen(t.Context(), side); err != nil {
			t.Fatal(err)
		}
		if err := side.Close(); err != nil {
			t.Fatal(err)
		}
		wantStarts(t, from, "")
		s, err := from.store() // goes on
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.PutSiteValue(t.Context(), storage.SiteValue{Issuer: issuer, Name: "later", Text: "text"}), s.Close()); err != nil {
			t.Fatal(err)
		}
		want := survey(t, from)
		m, end = begin(t, from, to)
		_, err = m.Run(t.Context())
		wantError(t, err, "--discard-target")
		m.Discard = true
		_, err = m.Run(t.Context())
		if end(); err != nil {
			t.Fatal(err)
		}
		if text := want.Difference(survey(t, to)); text != "" {
			t.Error(text)
		}
	})
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
}

// A target that does not have in the end what the source has is never released.
func TestMoveThatLoses(t *testing.T) {
	pairs(t, func(t *testing.T, from, to place) {
		fill(t, from, 6, time.Now())
		for what, lose := range map[string]func([]record.Moved) []record.Moved{
			"one is lost":    func(m []record.Moved) []record.Moved { return m[1:] },
			"one is changed": func(m []record.Moved) []record.Moved { m[0].Keep++; return m },
		} {
			m, end := begin(t, from, to)
			m.Discard = true
			m.To = losing{m.To, lose}
			_, err := m.Run(t.Context())
			end()
			wantError(t, err, "does not have what")
			if err != nil && !strings.Contains(err.Error(), "codes: 6 with sum") {
				t.Errorf("%s: %v", what, err)
			}
			wantStarts(t, from, "are being moved")
			wantStarts(t, to, "is being filled")
			side := open(t, from)
			if _, err := move.Reopen(t.Context(), side); err != nil {
				t.Fatal(err)
			}
			if err := side.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

type losing struct {
	move.Side
	lose func([]record.Moved) []record.Moved
}

func (l losing) Write(ctx context.Context, records []record.Moved, before, next move.Mark) error {
	if records[0].Kind.Name == "codes" {
		records = l.lose(records)
	}
	return l.Side.Write(ctx, records, before, next)
}

func ExampleMark_Refusal() {
	since := time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
	fmt.Println(move.Mark{ID: "1", State: move.Left, Other: "the database caddy@db:5432/mcp schema mcp_oauth", Since: since}.Refusal())
	// Output: its records were moved to the database caddy@db:5432/mcp schema mcp_oauth at 2026-11-29T03:00:00Z, and what happened since is only there; start Caddy with that storage, or move them back with caddy mcp-oauth migrate. Only if that one is lost: caddy mcp-oauth migrate --reopen
}
