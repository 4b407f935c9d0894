package pgstore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// PutSiteValue implements storage.AuthStore. It waits for whoever is replacing the
// value, who would store over it else.
func (s *authStore) PutSiteValue(ctx context.Context, v storage.SiteValue) error {
	return change(ctx, s.db, func(t *tx) error {
		t.lock(record.Digest(v.Issuer, v.Name))
		return putSiteValue(t, v)
	})
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
		t.tell(storage.Change{Kind: storage.SiteValueChanged, Issuer: v.Issuer, Name: v.Name})
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

// UseOnce implements storage.AuthStore. Mostly the value is not there yet.
func (s *authStore) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error) {
	keep, end := s.keep(expiresAt), expiresAt
	s.clock.ToDatabase(&end)
	first, err := s.once(ctx, `insert into {}used_values (hash, keep_until, body) values ($1, $2, $3) on conflict (hash) do nothing returning ''::bytea as answer`,
		key(h), keep, record.AppendTime(nil, end))
	if first || err != nil {
		return first, err
	}
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

// holdIfAny is holdValue for a value that may not be wanted.
func holdIfAny(t *tx, b *[]byte, v *storage.OneTime) {
	if v != nil {
		holdValue(t, b, v.Hash)
	}
}

// useUpIfAny uses up the value that holdIfAny holds, if any, unless it was used before.
func useUpIfAny(t *tx, b []byte, v *storage.OneTime, now time.Time) (was bool, err error) {
	if v == nil {
		return false, nil
	}
	if was, err := t.used(b, now); was || err != nil {
		return was, err
	}
	useUp(t, *v)
	return false, nil
}

// useUp stores over the row that is held when the value ends.
func useUp(t *tx, v storage.OneTime) {
	keep := t.keep(v.ExpiresAt)
	t.clock.ToDatabase(&v.ExpiresAt)
	t.exec(`update {}used_values set keep_until = $2, body = $3 where hash = $1`, key(v.Hash), keep, record.AppendTime(nil, v.ExpiresAt))
}

// VirtualKeys implements storage.VirtualKeyStore. Number and keys are read in one
// statement, so of the same moment.
func (s *virtualKeyStore) VirtualKeys(ctx context.Context, issuer string) ([]storage.VirtualKey, uint64, error) {
	var number uint64
	found, err := view(ctx, s.db, func(rows pgx.Rows) (found [][]byte, err error) {
		number = 0 // the statement may run again
		for rows.Next() {
			var n int64
			var body []byte
			if err := rows.Scan(&n, &body); err != nil {
				return nil, err
			}
			if body == nil {
				number = uint64(n)
				continue
			}
			found = append(found, body)
		}
		return found, rows.Err()
	}, `select number, null::bytea from {}virtual_key_changes where id = $1
		union all select 0, body from {}virtual_keys where issuer = $1`, record.Digest(issuer))
	if err != nil {
		return nil, 0, err
	}
	var all []storage.VirtualKey
	for _, b := range found {
		k, _, err := decode(s.db, b, virtualKeyTimes)
		if err == nil && k.Issuer != issuer {
			err = record.ErrCorrupt // somebody moved the record
		}
		if err != nil {
			return nil, 0, err
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b storage.VirtualKey) int { return cmp.Compare(a.Look, b.Look) })
	return all, number, nil
}

// LastVirtualKeyChange implements storage.VirtualKeyStore.
func (s *virtualKeyStore) LastVirtualKeyChange(ctx context.Context, issuer string) (uint64, error) {
	return view(ctx, s.db, func(rows pgx.Rows) (n uint64, err error) {
		err = oneNumber(&n)(rows)
		return n, err
	}, `select number from {}virtual_key_changes where id = $1`, record.Digest(issuer))
}

// PutVirtualKey implements storage.VirtualKeyStore.
func (s *virtualKeyStore) PutVirtualKey(ctx context.Context, k storage.VirtualKey) (storage.VirtualKey, storage.Verdict, error) {
	verdict := storage.Unknown
	stored, err := update(ctx, s.db, func(t *tx) (storage.VirtualKey, error) {
		current, _, err := lockVirtualKey(t, k)
		if err != nil {
			return current.VirtualKey, err
		}
		if current.Revision != k.Revision {
			verdict = storage.Changed
			return current.VirtualKey, nil
		}
		next := k // the transaction may run again
		next.Revision = current.change(t)
		b, err := encode(s.db, next, virtualKeyTimes)
		t.exec(`insert into {}virtual_keys (id, issuer, keep_until, body) values ($1, $2, $3, $4)
			on conflict (id) do update set body = excluded.body`,
			virtualKeyID(k), record.Digest(k.Issuer), int64(record.Forever), b)
		verdict = storage.OK
		return next, err
	})
	if err != nil {
		return storage.VirtualKey{}, storage.Unknown, err
	}
	return stored, verdict, nil
}

// DeleteVirtualKey implements storage.VirtualKeyStore.
func (s *virtualKeyStore) DeleteVirtualKey(ctx context.Context, k storage.VirtualKey) (storage.Verdict, error) {
	return update(ctx, s.db, func(t *tx) (storage.Verdict, error) {
		current, found, err := lockVirtualKey(t, k)
		switch {
		case err != nil || !found:
			return storage.Unknown, err
		case current.Revision != k.Revision:
			return storage.Changed, nil
		}
		current.change(t)
		t.exec(`delete from {}virtual_keys where id = $1`, virtualKeyID(k))
		return storage.OK, nil
	})
}

// lockedVirtualKey is a key, zero if there is none, and the number of the last
// change at its issuer, while nobody else can change one there.
type lockedVirtualKey struct {
	storage.VirtualKey
	issuer string
	number uint64
}

func lockVirtualKey(t *tx, k storage.VirtualKey) (lockedVirtualKey, bool, error) {
	locked := lockedVirtualKey{issuer: k.Issuer}
	var b []byte
	t.lock(record.Digest("virtual keys", k.Issuer))
	t.query(oneNumber(&locked.number), `select number from {}virtual_key_changes where id = $1`, record.Digest(k.Issuer))
	t.query(one(&b), `select body from {}virtual_keys where id = $1`, virtualKeyID(k))
	if err := t.send(); err != nil {
		return locked, false, err
	}
	var found bool
	var err error
	locked.VirtualKey, found, err = decode(t.db, b, virtualKeyTimes)
	if err == nil && found && (locked.Issuer != k.Issuer || locked.Look != k.Look) {
		err = record.ErrCorrupt // somebody moved the record
	}
	return locked, found, err
}

// change queues that one more change is counted, and returns its number.
func (l *lockedVirtualKey) change(t *tx) uint64 {
	t.tell(storage.Change{Kind: storage.VirtualKeysChanged, Issuer: l.issuer})
	t.exec(`insert into {}virtual_key_changes (id, keep_until, number) values ($1, $2, $3)
		on conflict (id) do update set number = excluded.number`,
		record.Digest(l.issuer), int64(record.Forever), int64(l.number+1))
	return l.number + 1
}

func virtualKeyID(k storage.VirtualKey) []byte { return record.Digest(k.Issuer, k.Look) }
