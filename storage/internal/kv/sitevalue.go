package kv

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// PutSiteValue implements storage.AuthStore.
func (s *authStore) PutSiteValue(ctx context.Context, m storage.SiteValue) error {
	return s.engine.Update(ctx, func(tx Tx) error { return putSiteValue(tx, m) })
}

func putSiteValue(tx Tx, m storage.SiteValue) error {
	return putJSON(tx, siteValueKey(m.Issuer, m.Name), record.UntilOrForever(m.ExpiresAt), m)
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
		return storage.OK, putSiteValue(tx, m)
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

// useUpIfAny uses up a value that may not be wanted, unless it was used before.
func useUpIfAny(tx Tx, v *storage.OneTime, now time.Time) (was bool, err error) {
	if v == nil {
		return false, nil
	}
	if was, err := used(tx, v.Hash, now); was || err != nil {
		return was, err
	}
	return false, useUp(tx, *v)
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

// VirtualKeys implements storage.VirtualKeyStore.
func (s *virtualKeyStore) VirtualKeys(ctx context.Context, issuer string) ([]storage.VirtualKey, uint64, error) {
	var number uint64
	all, err := view(ctx, s.engine, func(r Reader) (all []storage.VirtualKey, err error) {
		if number, err = lastVirtualKeyChange(r, issuer); err != nil {
			return nil, err
		}
		prefix := virtualKeyChangeKey(issuer)
		for key := range scanPrefix(r, prefix) {
			if bytes.Equal(key, prefix) {
				continue // the number
			}
			k, _, err := virtualKey(r, key)
			if err != nil {
				return nil, err
			}
			all = append(all, k)
		}
		return all, nil
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(all, func(a, b storage.VirtualKey) int { return cmp.Compare(a.Look, b.Look) })
	return all, number, nil
}

// LastVirtualKeyChange implements storage.VirtualKeyStore.
func (s *virtualKeyStore) LastVirtualKeyChange(ctx context.Context, issuer string) (uint64, error) {
	return view(ctx, s.engine, func(r Reader) (uint64, error) { return lastVirtualKeyChange(r, issuer) })
}

// PutVirtualKey implements storage.VirtualKeyStore.
func (s *virtualKeyStore) PutVirtualKey(ctx context.Context, k storage.VirtualKey) (storage.VirtualKey, storage.Verdict, error) {
	verdict := storage.Unknown
	stored, err := update(ctx, s.engine, func(tx Tx) (storage.VirtualKey, error) {
		current, _, err := virtualKey(tx, virtualKeyKey(k.Issuer, k.Look))
		if err != nil {
			return current, err
		}
		if current.Revision != k.Revision {
			verdict = storage.Changed
			return current, nil
		}
		next := k // the transaction may run again
		if next.Revision, err = changeVirtualKeys(tx, k.Issuer); err != nil {
			return next, err
		}
		verdict = storage.OK
		return next, putJSON(tx, virtualKeyKey(k.Issuer, k.Look), record.Forever, next)
	})
	if err != nil {
		return storage.VirtualKey{}, storage.Unknown, err
	}
	return stored, verdict, nil
}

// DeleteVirtualKey implements storage.VirtualKeyStore.
func (s *virtualKeyStore) DeleteVirtualKey(ctx context.Context, k storage.VirtualKey) (storage.Verdict, error) {
	return update(ctx, s.engine, func(tx Tx) (storage.Verdict, error) {
		key := virtualKeyKey(k.Issuer, k.Look)
		current, found, err := virtualKey(tx, key)
		switch {
		case err != nil || !found:
			return storage.Unknown, err
		case current.Revision != k.Revision:
			return storage.Changed, nil
		}
		if _, err := changeVirtualKeys(tx, k.Issuer); err != nil {
			return storage.Unknown, err
		}
		return storage.OK, tx.Delete(key)
	})
}

// virtualKey returns what is behind a key of the store.
func virtualKey(r Reader, key []byte) (k storage.VirtualKey, found bool, err error) {
	found, err = getJSON(r, key, &k)
	if err == nil && found && !bytes.Equal(key, virtualKeyKey(k.Issuer, k.Look)) {
		err = record.ErrCorrupt // somebody moved the record
	}
	if err != nil {
		return storage.VirtualKey{}, false, err
	}
	return k, found, nil
}

// changeVirtualKeys stores, and returns, the number of one more change.
func changeVirtualKeys(tx Tx, issuer string) (uint64, error) {
	last, err := lastVirtualKeyChange(tx, issuer)
	if err != nil {
		return 0, err
	}
	return last + 1, tx.Put(virtualKeyChangeKey(issuer), binary.BigEndian.AppendUint64(record.New(record.Forever, 8), last+1))
}

func lastVirtualKeyChange(r Reader, issuer string) (uint64, error) {
	v := r.Get(virtualKeyChangeKey(issuer))
	if v == nil {
		return 0, nil
	}
	_, body, err := record.Open(v)
	if err != nil || len(body) != 8 {
		return 0, record.ErrCorrupt
	}
	return binary.BigEndian.Uint64(body), nil
}

func virtualKeyChangeKey(issuer string) []byte {
	return append([]byte{kindVirtualKey}, record.Digest(issuer)...)
}

func virtualKeyKey(issuer, look string) []byte {
	return append(virtualKeyChangeKey(issuer), record.Digest(look)...)
}
