package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// UpstreamClient implements storage.Store.
func (s *Store) UpstreamClient(ctx context.Context, issuer, provider, server string, now time.Time) (storage.UpstreamClient, error) {
	return view(ctx, s, func(r Reader) (storage.UpstreamClient, error) {
		var c storage.UpstreamClient
		found, err := getJSON(r, upstreamClientKey(issuer, provider, server), &c)
		switch {
		case err != nil:
		case !found || !c.ExpiresAt.IsZero() && ended(c.ExpiresAt, now):
			err = storage.ErrNotFound
		case c.Issuer != issuer || c.Provider != provider || c.Server != server:
			err = errCorrupt // somebody moved the record
		}
		if err != nil {
			return storage.UpstreamClient{}, err
		}
		return c, nil
	})
}

// PutUpstreamClient implements storage.Store.
func (s *Store) PutUpstreamClient(ctx context.Context, c storage.UpstreamClient) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		return putJSON(tx, upstreamClientKey(c.Issuer, c.Provider, c.Server), untilOrForever(c.ExpiresAt), c)
	})
}

// DeleteUpstreamClient implements storage.Store.
func (s *Store) DeleteUpstreamClient(ctx context.Context, issuer, provider, server string) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		return tx.Delete(upstreamClientKey(issuer, provider, server))
	})
}
