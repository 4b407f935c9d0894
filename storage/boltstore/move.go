package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
)

// markKey is of the mark of a move, beside the version of the schema. While there is
// one, the version has closedSuffix: a program that knows no marks cannot read it.
var markKey = []byte("move")

const closedSuffix = " closed"

// notMoved refuses a file that has a mark.
func notMoved(tx *bbolt.Tx) error {
	mark, err := markOf(tx)
	if err != nil || mark.None() {
		return err
	}
	return mark.Refusal()
}

func markOf(tx *bbolt.Tx) (move.Mark, error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return move.Mark{}, nil
	}
	return move.ReadMark(string(meta.Get(markKey)))
}

// MovePlace is a file to move from, or to.
type MovePlace struct {
	Path    string
	Options Options
}

// Name implements move.Place.
func (p MovePlace) Name() string { return "the file " + p.Path }

// Exists implements move.Place.
func (p MovePlace) Exists(context.Context) (bool, error) {
	_, err := os.Stat(p.Path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, explain(p.Path, err)
	}
	return true, nil
}

// Open implements move.Place. The file is locked until the side is closed.
func (p MovePlace) Open(ctx context.Context, look bool) (move.Side, error) {
	o := p.Options
	o.moves, o.looks = true, look
	there, err := p.Exists(ctx)
	if err != nil {
		return nil, err
	}
	e, err := openEngine(p.Path, o, bbolt.Options{})
	if err != nil {
		return nil, err
	}
	if !there { // whoever moves may be root, and who runs Caddy not
		if err := ownAs(p.Path, filepath.Dir(p.Path)); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	err = e.View(ctx, func(r kv.Reader) error {
		if kinds := kv.Unmoved(r); len(kinds) > 0 {
			return fmt.Errorf("boltstore: %s has records of kinds (%q) that this program does not know, and would leave behind; use the program that wrote them", p.Path, kinds)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return &moveSide{e, p.Path}, nil
}

// moveSide is a move.Side. Nobody else has the file open.
type moveSide struct {
	engine *engine
	path   string
}

// Mark implements move.Side.
func (s *moveSide) Mark(ctx context.Context) (mark move.Mark, err error) {
	err = s.engine.View(ctx, func(r kv.Reader) error {
		mark, err = markOf(r.(*tx).Tx)
		return err
	})
	return mark, err
}

// SetMark implements move.Side.
func (s *moveSide) SetMark(ctx context.Context, m move.Mark) error {
	return s.update(ctx, func(t *tx) error { return t.setMark(m) })
}

func (t *tx) setMark(m move.Mark) (err error) {
	t.wrote = true
	meta := t.Bucket(metaBucket)
	if text := m.Text(); text != "" {
		err = meta.Put(markKey, []byte(text))
	} else {
		err = meta.Delete(markKey)
	}
	if err != nil {
		return err
	}
	return putSchema(t.Tx)
}

// update is Update of the engine, with the file in its errors.
func (s *moveSide) update(ctx context.Context, fn func(*tx) error) error {
	err := s.engine.Update(ctx, func(t kv.Tx) error { return fn(t.(*tx)) })
	if err != nil {
		return fmt.Errorf("boltstore: the database %s cannot be written: %w%s", s.path, err, advice(s.path, err))
	}
	return nil
}

// Busy implements move.Side. The file is locked.
func (s *moveSide) Busy(context.Context) error { return nil }

// Empty implements move.Side.
func (s *moveSide) Empty(ctx context.Context) (bool, error) { return kv.New(s.engine).Empty(ctx) }

// Clear implements move.Side.
func (s *moveSide) Clear(ctx context.Context) error {
	return s.update(ctx, func(t *tx) error {
		var kinds [][]byte
		err := t.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			if len(name) == 1 {
				kinds = append(kinds, append([]byte{}, name...))
			}
			return nil
		})
		for _, kind := range kinds {
			t.wrote = true
			err = errors.Join(err, t.DeleteBucket(kind))
		}
		return err
	})
}

// Page implements move.Side.
func (s *moveSide) Page(ctx context.Context, kind record.Kind, after []byte, limit int) (page []record.Moved, next []byte, err error) {
	err = s.engine.View(ctx, func(r kv.Reader) error {
		page, next, err = kv.MovePage(r, kind, after, limit)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("boltstore: %s: %w; caddy mcp-oauth check says what else is wrong", s.path, err)
	}
	return page, next, nil
}

// Write implements move.Side.
func (s *moveSide) Write(ctx context.Context, records []record.Moved, _, next move.Mark) error {
	return s.update(ctx, func(t *tx) error {
		for _, m := range records {
			if err := kv.PutMoved(t, m); err != nil {
				return err
			}
		}
		return t.setMark(next)
	})
}

// Close implements move.Side.
func (s *moveSide) Close() error { return s.engine.Close() }
