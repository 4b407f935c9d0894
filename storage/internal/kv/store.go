package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Store is a storage.Store on an Engine.
type Store struct{ engine Engine }

var _ storage.Store = (*Store)(nil)

// New returns the store on engine, which it closes.
func New(engine Engine) *Store { return &Store{engine: engine} }

// Close closes the engine.
func (s *Store) Close() error { return s.engine.Close() }

// Empty implements storage.Store.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	return view(ctx, s, func(r Reader) (bool, error) {
		for range r.Scan(nil) {
			return false, nil
		}
		return true, nil
	})
}

// Check implements storage.Store: it fails when the store is closed. An engine
// on a disk has more to look at.
func (s *Store) Check(ctx context.Context) error {
	return s.engine.View(ctx, func(Reader) error { return nil })
}

// update runs fn in a writing transaction and returns what its last run did.
func update[T any](ctx context.Context, s *Store, fn func(Tx) (T, error)) (T, error) {
	var out, zero T
	err := s.engine.Update(ctx, func(tx Tx) (err error) {
		out, err = fn(tx)
		return err
	})
	if err != nil {
		return zero, err
	}
	return out, nil
}

// view runs fn in a reading transaction.
func view[T any](ctx context.Context, s *Store, fn func(Reader) (T, error)) (T, error) {
	var out, zero T
	err := s.engine.View(ctx, func(r Reader) (err error) {
		out, err = fn(r)
		return err
	})
	if err != nil {
		return zero, err
	}
	return out, nil
}

// ended reports whether a record with this expiry counts as absent.
func ended(expiresAt, now time.Time) bool { return !expiresAt.After(now) }
