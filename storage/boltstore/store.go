package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// Store is the store in a file.
type Store struct {
	*kv.Store
	// Migrated is nil unless the file was of an earlier version when it was opened.
	Migrated *Migration

	engine *engine
	path   string
}

var (
	_ storage.Store       = (*Store)(nil)
	_ storage.SignInEnder = (*Store)(nil)
)

// EndSignIns implements storage.SignInEnder.
func (s *Store) EndSignIns(ctx context.Context, now time.Time) (storage.Ended, error) {
	return kv.EndSignIns(ctx, s.engine, now)
}

// Usage implements storage.Store.
func (s *Store) Usage(ctx context.Context, now time.Time) (storage.Usage, error) {
	u, err := s.Store.Usage(ctx, now)
	if err != nil {
		return storage.Usage{}, err
	}
	file, err := s.engine.db.file.Stat()
	if err != nil {
		return storage.Usage{}, fmt.Errorf("boltstore: the database %s: %w", s.path, err)
	}
	u.Bytes = file.Size()
	return u, nil
}

const (
	// trialInterval is after how long without a change a check makes one.
	trialInterval = time.Minute
	// trialSize is more than what a step of a sign-in writes.
	trialSize = 1 << 16
)

// trialKey has in metaBucket what a check writes.
var trialKey = []byte("trial")

// Check fails if the store is broken, if its file was cut short, if its path leads
// to another file than the one that is open, so that what it still writes is lost
// when it is closed, or if the disk does not take what is to be stored. To know that
// it writes something itself while changes are refused, and where there was none for
// a minute: what callers can make it do is never more than that.
func (s *Store) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	db := s.engine.db
	if err := db.checkLength(); errors.Is(err, storage.ErrClosed) {
		return err
	} else if err != nil {
		return fmt.Errorf("boltstore: the database %s cannot be used: %w", s.path, err)
	}
	open, err := db.file.Stat()
	if err != nil {
		return fmt.Errorf("boltstore: the database %s: %w", s.path, err)
	}
	const putBack = "what is stored from now on is lost when Caddy ends; restart Caddy, after you have put back the file that it shall use"
	switch at, err := os.Stat(s.path); {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("boltstore: the database %s was deleted while it is open; %s", s.path, putBack)
	case err != nil:
		return fmt.Errorf("boltstore: the database %s: %w", s.path, err)
	case !os.SameFile(open, at):
		return fmt.Errorf("boltstore: the database %s was replaced by another file while it is open; %s", s.path, putBack)
	}
	if !db.doubtful() {
		return nil
	}
	refused := db.refused.Swap(nil)
	if err = s.engine.Update(ctx, func(t kv.Tx) error { return t.(*tx).try() }); err != nil {
		db.refused.CompareAndSwap(nil, refused)
	}
	if err == nil || errors.Is(err, storage.ErrClosed) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("boltstore: the database %s can be read, but not written to: %w%s", s.path, err, advice(s.path, err))
}

// try writes something.
func (t *tx) try() error {
	t.wrote = true
	return t.Bucket(metaBucket).Put(trialKey, make([]byte, trialSize))
}
