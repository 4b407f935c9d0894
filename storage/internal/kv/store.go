package kv

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Store is a storage.Store on an Engine.
type Store struct {
	authStore
	connectionStore
	sessionStore
	virtualKeyStore
	personStore
	sealedStore
	engine Engine
}

type (
	authStore       struct{ engine Engine }
	connectionStore struct{ engine Engine }
	sessionStore    struct{ engine Engine }
	virtualKeyStore struct{ engine Engine }
	personStore     struct{ engine Engine }
	sealedStore     struct{ engine Engine }
)

var _ storage.Store = (*Store)(nil)

// New returns the store on engine, which it closes.
func New(engine Engine) *Store {
	return &Store{authStore{engine}, connectionStore{engine}, sessionStore{engine}, virtualKeyStore{engine}, personStore{engine}, sealedStore{engine}, engine}
}

// Close closes the engine.
func (s *Store) Close() error { return s.engine.Close() }

// Empty implements storage.Store.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	return view(ctx, s.engine, func(r Reader) (bool, error) {
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
func update[T any](ctx context.Context, e Engine, fn func(Tx) (T, error)) (T, error) {
	var out, zero T
	err := e.Update(ctx, func(tx Tx) (err error) {
		out, err = fn(tx)
		return err
	})
	if err != nil {
		return zero, err
	}
	return out, nil
}

// view runs fn in a reading transaction.
func view[T any](ctx context.Context, e Engine, fn func(Reader) (T, error)) (T, error) {
	var out, zero T
	err := e.View(ctx, func(r Reader) (err error) {
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

// Engine runs transactions over ordered keys. A key is never empty; those with
// the same first byte are of one kind, and an engine may keep them together.
type Engine interface {
	// View runs fn on a consistent state.
	View(ctx context.Context, fn func(Reader) error) error
	// Update runs fn, one at a time, and returns nil once its changes are
	// durable. When fn fails, or Update does, none of them happened or will.
	// fn may run more than once: only its last run counts.
	Update(ctx context.Context, fn func(Tx) error) error
	// Close releases the engine; later calls return storage.ErrClosed.
	Close() error
}

// Reader reads within a transaction. The slices it returns are valid until
// the transaction ends, and not to be changed.
type Reader interface {
	// Get returns the value, or nil.
	Get(key []byte) []byte
	// Scan yields the pairs from the first key not below from, in order.
	// Nothing may be written while it runs.
	Scan(from []byte) iter.Seq2[[]byte, []byte]
}

// Tx changes within a transaction. Key and value belong to the engine from
// then on.
type Tx interface {
	Reader
	Put(key, value []byte) error
	Delete(key []byte) error
}

// latest returns the later one.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// getBinary reads a record with decode; it reports false when there is none.
func getBinary[T any](r Reader, key []byte, decode func([]byte) (T, error)) (got T, found bool, err error) {
	v := r.Get(key)
	if v == nil {
		return got, false, nil
	}
	_, body, err := record.Open(v)
	if err != nil {
		return got, false, err
	}
	got, err = decode(body)
	return got, err == nil, err
}

// getJSON reads a record; it reports false when there is none.
func getJSON(r Reader, key []byte, to any) (bool, error) {
	v := r.Get(key)
	if v == nil {
		return false, nil
	}
	err := openJSON(v, to)
	return err == nil, err
}

// openJSON reads the value of a record.
func openJSON(value []byte, to any) error {
	_, body, err := record.Open(value)
	if err != nil {
		return err
	}
	if json.Unmarshal(body, to) != nil {
		return record.ErrCorrupt // the cause would quote the record
	}
	return nil
}

func putJSON(tx Tx, key []byte, k record.Keep, from any) error {
	body, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return tx.Put(key, append(record.New(k, len(body)), body...))
}

// Usage implements storage.Store, but for Bytes.
func (s *Store) Usage(ctx context.Context, now time.Time) (storage.Usage, error) {
	return view(ctx, s.engine, func(r Reader) (u storage.Usage, err error) {
		if u.PendingFlows, err = countPending(r, now); err != nil {
			return storage.Usage{}, err
		}
		for range scanPrefix(r, []byte{kindDueRevocation}) {
			if u.Revocations++; u.Revocations == storage.MaxCounted {
				break
			}
		}
		return u, nil
	})
}

func countPending(r Reader, now time.Time) (pending int, err error) {
	looked := 0
	for key := range scanPrefix(r, []byte{kindFlow}) {
		var f storage.Flow
		if _, err := getJSON(r, key, &f); err != nil {
			return 0, err
		}
		if !f.Submitted && !ended(f.ExpiresAt, now) {
			pending++
		}
		if looked++; looked == storage.MaxCounted {
			break
		}
	}
	return pending, nil
}
