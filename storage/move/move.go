package move

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Move is a move of all records from one store to another.
type Move struct {
	From, To         Side
	FromName, ToName string
	// Discard removes what is in a target that has the mark of another move.
	Discard bool
	// Seen is told how many records of a kind were done, and what with.
	Seen func(doing, kind string, records int)
	Now  func() time.Time
}

// Done is what a move came to.
type Done struct {
	*Survey
	// Resumed tells that a move that had been interrupted went on, and Already that
	// it was complete before: then there is no Survey.
	Resumed, Already bool
}

// Run moves, or goes on with a move of the same stores that was interrupted.
func (m *Move) Run(ctx context.Context) (done Done, err error) {
	from, to, err := m.marks(ctx)
	if err != nil {
		return done, err
	}
	if from.State == Left {
		done.Already = true
		if to.None() {
			return done, nil
		}
		return done, m.To.SetMark(ctx, Mark{}) // it was killed right before
	}
	done.Resumed = to.State == Filling && to.ID == from.ID
	if to, err = m.begin(ctx, from, to); err != nil {
		return done, err
	}
	if err := m.copy(ctx, to); err != nil {
		return done, fmt.Errorf("%w. Nothing in %s was changed: mend this, and run the same command again, which goes on from here", err, m.FromName)
	}
	done.Survey, err = m.verify(ctx)
	if err != nil {
		return done, err
	}
	left := Mark{ID: to.ID, State: Left, Other: m.ToName, Since: m.Now()}
	if err := m.From.SetMark(ctx, left); err != nil {
		return done, err
	}
	return done, m.To.SetMark(ctx, Mark{})
}

// Check tells whether Run would begin, or go on, and changes nothing. to is nil if
// there is no store yet.
func (m *Move) Check(ctx context.Context) error {
	if err := m.From.Busy(ctx); err != nil || m.To == nil {
		return errors.Join(err, m.checkSource(ctx))
	}
	_, _, err := m.marks(ctx)
	return errors.Join(err, m.To.Busy(ctx))
}

func (m *Move) checkSource(ctx context.Context) error {
	from, err := m.From.Mark(ctx)
	if err == nil && (from.State == Left || from.State == Filling || from.State == Leaving && from.Other != m.ToName) {
		err = fmt.Errorf("%s cannot be moved from: %w", m.FromName, from.Refusal())
	}
	return err
}

// marks returns the marks of both stores, if they allow the move.
func (m *Move) marks(ctx context.Context) (from, to Mark, err error) {
	if from, err = m.From.Mark(ctx); err != nil {
		return from, to, err
	}
	if to, err = m.To.Mark(ctx); err != nil {
		return from, to, err
	}
	ours := to.State == Filling && to.ID == from.ID
	if from.State == Left && from.Other == m.ToName && (ours || to.None()) {
		return from, to, nil // complete
	}
	if err := m.checkSource(ctx); err != nil || ours {
		return from, to, err
	}
	empty, err := m.To.Empty(ctx)
	switch {
	case err != nil:
	case to.None() && !empty:
		err = fmt.Errorf("%s has records, and is used as it is; move into an empty one: another file, or another schema", m.ToName)
	case !to.None() && !m.Discard:
		err = fmt.Errorf("%s cannot be moved to as it is: %w. With --discard-target what is in it is removed first", m.ToName, to.Refusal())
	}
	return from, to, err
}

// begin marks both stores. A move that was interrupted goes on with its marks.
func (m *Move) begin(ctx context.Context, from, to Mark) (Mark, error) {
	if err := m.idle(ctx); err != nil {
		return to, err
	}
	if from.None() {
		from = Mark{ID: rand.Text(), State: Leaving, Other: m.ToName, Since: m.Now()}
		if err := m.From.SetMark(ctx, from); err != nil {
			return to, err
		}
	}
	if to.ID != from.ID {
		if !to.None() {
			if err := m.To.Clear(ctx); err != nil {
				return to, err
			}
		}
		to = Mark{ID: from.ID, State: Filling, Other: m.FromName, Since: from.Since}
		if err := m.To.SetMark(ctx, to); err != nil {
			return to, err
		}
	}
	return to, m.idle(ctx) // who began before the marks goes on
}

// idle fails while somebody works with one of the stores.
func (m *Move) idle(ctx context.Context) error {
	return errors.Join(m.From.Busy(ctx), m.To.Busy(ctx))
}

// copy copies what the target does not have yet.
func (m *Move) copy(ctx context.Context, to Mark) error {
	reached := to.Kind == ""
	for _, kind := range record.Kinds {
		var after []byte
		if !reached {
			if kind.Name != to.Kind {
				continue
			}
			reached = true
			if after = to.After; after == nil {
				continue // all of it is there
			}
		}
		written := 0
		err := pages(ctx, m.From, kind, after, func(page []record.Moved, behind []byte) error {
			if len(page) == 0 {
				return nil
			}
			next := to
			next.Kind, next.After = kind.Name, behind
			if err := m.To.Write(ctx, page, to, next); err != nil {
				return err
			}
			to, written = next, written+len(page)
			m.Seen("copied", kind.Name, written)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if !reached {
		return fmt.Errorf("%s is filled up to %s, which this program does not know; use the version that began, or --discard-target after --reopen", m.ToName, to.Kind)
	}
	return nil
}

// verify reads both stores again and compares them.
func (m *Move) verify(ctx context.Context) (*Survey, error) {
	want, err := Look(ctx, m.From, nil, func(kind string, n int) { m.Seen("read again in the source", kind, n) })
	if err != nil {
		return nil, err
	}
	got, err := Look(ctx, m.To, nil, func(kind string, n int) { m.Seen("read back from the target", kind, n) })
	if err != nil {
		return nil, err
	}
	if err := m.idle(ctx); err != nil {
		return nil, err
	}
	if text := want.Difference(got); text != "" {
		return nil, fmt.Errorf("%s does not have what %s has, and neither was released%s. Somebody has changed one of them, or a disk is failing: "+
			"run caddy mcp-oauth migrate --reopen for the source, and then this command with --discard-target", m.ToName, m.FromName, text)
	}
	return got, nil
}

// Reopen takes the mark from a store that is being left, or was, so that a Caddy
// starts on it again. It returns the mark.
func Reopen(ctx context.Context, side Side) (Mark, error) {
	mark, err := side.Mark(ctx)
	switch {
	case err != nil || mark.None():
		return mark, err
	case mark.State == Filling:
		return mark, fmt.Errorf("it has only a part of the records of %s: run the same caddy mcp-oauth migrate again, which goes on", mark.Other)
	}
	return mark, side.SetMark(ctx, Mark{})
}
