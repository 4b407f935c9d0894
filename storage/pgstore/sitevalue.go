package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// PutSiteValue implements storage.AuthStore.
func (s *authStore) PutSiteValue(ctx context.Context, v storage.SiteValue) error {
	return change(ctx, s.db, func(t *tx) error { return putSiteValue(t, v) })
}

func putSiteValue(t *tx, v storage.SiteValue) error {
	b, err := encode(t.db, v, siteValueTimes)
	t.exec(`insert into {}site_values (id, keep_until, body) values ($1, $2, $3)
		on conflict (id) do update set keep_until = excluded.keep_until, body = excluded.body`,
		record.Digest(v.Issuer, v.Name), t.keepOrForever(v.ExpiresAt), b)
	return err
}

// ReplaceSiteValue implements storage.AuthStore.
func (s *authStore) ReplaceSiteValue(ctx context.Context, v storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error) {
	return update(ctx, s.db, func(t *tx) (storage.Verdict, error) {
		id := record.Digest(v.Issuer, v.Name)
		var b []byte
		t.lock(id)
		t.query(one(&b), `select body from {}site_values where id = $1`, id)
		if err := t.send(); err != nil {
			return storage.Unknown, err
		}
		current, err := s.siteValue(b, v.Issuer, v.Name, now)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return storage.Unknown, err
		}
		if current.Text != replaces {
			return storage.Changed, nil
		}
		return storage.OK, putSiteValue(t, v)
	})
}

// SiteValue implements storage.AuthStore.
func (s *authStore) SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error) {
	b, err := view(ctx, s.db, body, `select body from {}site_values where id = $1`, record.Digest(issuer, name))
	if err != nil {
		return storage.SiteValue{}, err
	}
	return s.siteValue(b, issuer, name, now)
}

// siteValue returns the site value of a row, or storage.ErrNotFound.
func (s *authStore) siteValue(b []byte, issuer, name string, now time.Time) (storage.SiteValue, error) {
	v, found, err := decode(s.db, b, siteValueTimes)
	if err == nil && found && (v.Issuer != issuer || v.Name != name) {
		err = record.ErrCorrupt // somebody moved the record
	}
	return live(v, found && (v.ExpiresAt.IsZero() || !ended(v.ExpiresAt, now)), err)
}

// UseOnce implements storage.AuthStore.
func (s *authStore) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error) {
	return update(ctx, s.db, func(t *tx) (bool, error) {
		var b []byte
		holdValue(t, &b, h)
		if err := t.send(); err != nil {
			return false, err
		}
		if was, err := s.used(b, now); was || err != nil {
			return false, err
		}
		useUp(t, storage.OneTime{Hash: h, ExpiresAt: expiresAt})
		return true, nil
	})
}

// Used implements storage.AuthStore.
func (s *authStore) Used(ctx context.Context, h storage.Hash, now time.Time) (bool, error) {
	b, err := view(ctx, s.db, body, `select body from {}used_values where hash = $1`, key(h))
	if err != nil {
		return false, err
	}
	return s.used(b, now)
}

// holdValue queues what reads and locks a one-time value. One that is not there
// is held by an empty row, which is gone if the verb refuses.
func holdValue(t *tx, b *[]byte, h storage.Hash) {
	t.query(one(b), `insert into {}used_values (hash, keep_until, body) values ($1, 0, '')
		on conflict (hash) do update set hash = excluded.hash returning body`, key(h))
}

// useUp stores over the row that is held when the value ends.
func useUp(t *tx, v storage.OneTime) {
	keep := t.keep(v.ExpiresAt)
	t.clock.toDatabase(&v.ExpiresAt)
	t.exec(`update {}used_values set keep_until = $2, body = $3 where hash = $1`, key(v.Hash), keep, record.AppendTime(nil, v.ExpiresAt))
}
