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

var _ storage.Store = (*Store)(nil)

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

// Check fails if the store is broken, if its file was cut short, or if its path
// leads to another file than the one that is open: then what it still writes is
// lost when it is closed.
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
	const advice = "what is stored from now on is lost when Caddy ends; restart Caddy, after you have put back the file that it shall use"
	switch at, err := os.Stat(s.path); {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("boltstore: the database %s was deleted while it is open; %s", s.path, advice)
	case err != nil:
		return fmt.Errorf("boltstore: the database %s: %w", s.path, err)
	case !os.SameFile(open, at):
		return fmt.Errorf("boltstore: the database %s was replaced by another file while it is open; %s", s.path, advice)
	}
	return nil
}
