package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// PutMemo implements storage.Store.
func (s *Store) PutMemo(ctx context.Context, m storage.Memo) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		return putJSON(tx, memoKey(m.Issuer, m.Name), untilOrForever(m.ExpiresAt), m)
	})
}

// Memo implements storage.Store.
func (s *Store) Memo(ctx context.Context, issuer, name string, now time.Time) (storage.Memo, error) {
	return view(ctx, s, func(r Reader) (storage.Memo, error) {
		var m storage.Memo
		found, err := getJSON(r, memoKey(issuer, name), &m)
		switch {
		case err != nil:
			return storage.Memo{}, err
		case !found, !m.ExpiresAt.IsZero() && ended(m.ExpiresAt, now):
			return storage.Memo{}, storage.ErrNotFound
		case m.Issuer != issuer || m.Name != name:
			return storage.Memo{}, errCorrupt // somebody moved the record
		}
		return m, nil
	})
}

func memoKey(issuer, name string) []byte {
	return append([]byte{kindMemo}, digest(issuer, name)...)
}
