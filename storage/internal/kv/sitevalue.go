package kv

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// PutSiteValue implements storage.AuthStore.
func (s *authStore) PutSiteValue(ctx context.Context, m storage.SiteValue) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		return putJSON(tx, siteValueKey(m.Issuer, m.Name), record.UntilOrForever(m.ExpiresAt), m)
	})
}

// ReplaceSiteValue implements storage.AuthStore.
func (s *authStore) ReplaceSiteValue(ctx context.Context, m storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error) {
	return update(ctx, s.engine, func(tx Tx) (storage.Verdict, error) {
		current, err := liveSiteValue(tx, m.Issuer, m.Name, now)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return storage.Unknown, err
		}
		if current.Text != replaces {
			return storage.Changed, nil
		}
		return storage.OK, putJSON(tx, siteValueKey(m.Issuer, m.Name), record.UntilOrForever(m.ExpiresAt), m)
	})
}

// SiteValue implements storage.AuthStore.
func (s *authStore) SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error) {
	return view(ctx, s.engine, func(r Reader) (storage.SiteValue, error) { return liveSiteValue(r, issuer, name, now) })
}

// liveSiteValue returns a site value, or storage.ErrNotFound.
func liveSiteValue(r Reader, issuer, name string, now time.Time) (storage.SiteValue, error) {
	var m storage.SiteValue
	found, err := getJSON(r, siteValueKey(issuer, name), &m)
	switch {
	case err != nil:
		return storage.SiteValue{}, err
	case !found, !m.ExpiresAt.IsZero() && ended(m.ExpiresAt, now):
		return storage.SiteValue{}, storage.ErrNotFound
	case m.Issuer != issuer || m.Name != name:
		return storage.SiteValue{}, record.ErrCorrupt // somebody moved the record
	}
	return m, nil
}

func siteValueKey(issuer, name string) []byte {
	return append([]byte{kindSiteValue}, record.Digest(issuer, name)...)
}

// UseOnce implements storage.AuthStore.
func (s *authStore) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error) {
	return update(ctx, s.engine, func(tx Tx) (bool, error) {
		if was, err := used(tx, h, now); was || err != nil {
			return false, err
		}
		return true, useUp(tx, storage.OneTime{Hash: h, ExpiresAt: expiresAt})
	})
}

func useUp(tx Tx, v storage.OneTime) error {
	return tx.Put(hashKey(kindOnce, v.Hash), record.AppendTime(record.New(record.Until(v.ExpiresAt), 0), v.ExpiresAt))
}

// Used implements storage.AuthStore.
func (s *authStore) Used(ctx context.Context, h storage.Hash, now time.Time) (bool, error) {
	return view(ctx, s.engine, func(r Reader) (bool, error) { return used(r, h, now) })
}

func used(r Reader, h storage.Hash, now time.Time) (bool, error) {
	v := r.Get(hashKey(kindOnce, h))
	if v == nil {
		return false, nil
	}
	_, body, err := record.Open(v)
	if err != nil {
		return false, err
	}
	expiresAt, err := record.Time(body)
	return err == nil && !ended(expiresAt, now), err
}
