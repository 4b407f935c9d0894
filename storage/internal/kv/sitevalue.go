package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// PutSiteValue implements storage.Store.
func (s *Store) PutSiteValue(ctx context.Context, m storage.SiteValue) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		return putJSON(tx, siteValueKey(m.Issuer, m.Name), untilOrForever(m.ExpiresAt), m)
	})
}

// SiteValue implements storage.Store.
func (s *Store) SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error) {
	return view(ctx, s, func(r Reader) (storage.SiteValue, error) {
		var m storage.SiteValue
		found, err := getJSON(r, siteValueKey(issuer, name), &m)
		switch {
		case err != nil:
			return storage.SiteValue{}, err
		case !found, !m.ExpiresAt.IsZero() && ended(m.ExpiresAt, now):
			return storage.SiteValue{}, storage.ErrNotFound
		case m.Issuer != issuer || m.Name != name:
			return storage.SiteValue{}, errCorrupt // somebody moved the record
		}
		return m, nil
	})
}

func siteValueKey(issuer, name string) []byte {
	return append([]byte{kindSiteValue}, digest(issuer, name)...)
}
