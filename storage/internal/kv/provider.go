package kv

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// SaveConnectState implements storage.ConnectionStore.
func (s *connectionStore) SaveConnectState(ctx context.Context, state storage.ConnectState) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		keepUntil := record.Until(state.ExpiresAt)
		if err := tx.Put(pendingStateKey(state), record.New(keepUntil, 0)); err != nil {
			return err
		}
		return putJSON(tx, hashKey(kindConnectState, state.Hash), keepUntil, state)
	})
}

// ClaimConnectState implements storage.ConnectionStore.
func (s *connectionStore) ClaimConnectState(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.ConnectState, storage.Verdict, error) {
	verdict := storage.Unknown
	claimed, err := update(ctx, s.engine, func(tx Tx) (none storage.ConnectState, err error) {
		verdict = storage.Unknown // the last run counts
		found, ok, err := getConnectState(tx, state)
		if err != nil || !ok || ended(found.ExpiresAt, now) {
			return none, err
		}
		if found.Browser != browser {
			verdict = storage.WrongBrowser
			return none, nil
		}
		verdict = storage.OK
		return found, removeConnectState(tx, found)
	})
	if err != nil {
		return storage.ConnectState{}, storage.Unknown, err
	}
	return claimed, verdict, nil
}

func getConnectState(r Reader, h storage.Hash) (s storage.ConnectState, found bool, err error) {
	found, err = getJSON(r, hashKey(kindConnectState, h), &s)
	s.Hash = h
	return s, found, err
}

func removeConnectState(tx Tx, s storage.ConnectState) error {
	if err := tx.Delete(pendingStateKey(s)); err != nil {
		return err
	}
	return tx.Delete(hashKey(kindConnectState, s.Hash))
}

// removePendingStates removes the connect states whose index entry starts with prefix:
// those of a connection, or of an owner.
func removePendingStates(tx Tx, prefix []byte) error {
	var entries [][]byte
	for key := range scanPrefix(tx, prefix) {
		entries = append(entries, bytes.Clone(key))
	}
	for _, key := range entries {
		state := storage.Hash(key[len(key)-len(storage.Hash{}):])
		if err := tx.Delete(hashKey(kindConnectState, state)); err != nil {
			return err
		}
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// UpstreamClient implements storage.ConnectionStore.
func (s *connectionStore) UpstreamClient(ctx context.Context, issuer, provider, server string, now time.Time) (storage.UpstreamClient, error) {
	return view(ctx, s.engine, func(r Reader) (storage.UpstreamClient, error) {
		c, found, err := liveUpstreamClient(r, issuer, provider, server, now)
		if err == nil && !found {
			err = storage.ErrNotFound
		}
		return c, err
	})
}

// UpstreamClients implements storage.ConnectionStore.
func (s *connectionStore) UpstreamClients(ctx context.Context, issuer string, now time.Time) ([]storage.UpstreamClient, error) {
	return view(ctx, s.engine, func(r Reader) ([]storage.UpstreamClient, error) {
		var all []storage.UpstreamClient
		for key := range scanPrefix(r, ownerPrefix(kindUpstreamClient, issuer, "")) {
			var c storage.UpstreamClient
			if _, err := getJSON(r, key, &c); err != nil {
				return nil, err
			}
			if !bytes.Equal(key, upstreamClientKey(c.Issuer, c.Provider, c.Server)) {
				return nil, record.ErrCorrupt // somebody moved the record
			}
			if c.Issuer == issuer && !upstreamClientEnded(c, now) {
				all = append(all, c)
			}
		}
		slices.SortFunc(all, func(a, b storage.UpstreamClient) int {
			return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Provider, b.Provider))
		})
		return all, nil
	})
}

// PutUpstreamClient implements storage.ConnectionStore.
func (s *connectionStore) PutUpstreamClient(ctx context.Context, c storage.UpstreamClient, replaces []byte, now time.Time) (storage.Verdict, error) {
	return update(ctx, s.engine, func(tx Tx) (storage.Verdict, error) {
		current, found, err := liveUpstreamClient(tx, c.Issuer, c.Provider, c.Server, now)
		if err != nil {
			return storage.Unknown, err
		}
		if found != (replaces != nil) || !bytes.Equal(current.Secret, replaces) {
			return storage.Changed, nil
		}
		return storage.OK, putJSON(tx, upstreamClientKey(c.Issuer, c.Provider, c.Server), record.UntilOrForever(c.ExpiresAt), c)
	})
}

// DeleteUpstreamClient implements storage.ConnectionStore.
func (s *connectionStore) DeleteUpstreamClient(ctx context.Context, c storage.UpstreamClient) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		key := upstreamClientKey(c.Issuer, c.Provider, c.Server)
		var current storage.UpstreamClient
		found, err := getJSON(tx, key, &current)
		if err != nil || !found || !bytes.Equal(current.Secret, c.Secret) {
			return err
		}
		return tx.Delete(key)
	})
}

// liveUpstreamClient returns the registration, zero when there is none or it ended.
func liveUpstreamClient(r Reader, issuer, provider, server string, now time.Time) (storage.UpstreamClient, bool, error) {
	var c storage.UpstreamClient
	found, err := getJSON(r, upstreamClientKey(issuer, provider, server), &c)
	if err == nil && found && (c.Issuer != issuer || c.Provider != provider || c.Server != server) {
		err = record.ErrCorrupt // somebody moved the record
	}
	if err != nil || !found || upstreamClientEnded(c, now) {
		return storage.UpstreamClient{}, false, err
	}
	return c, true, nil
}

func upstreamClientEnded(c storage.UpstreamClient, now time.Time) bool {
	return !c.ExpiresAt.IsZero() && ended(c.ExpiresAt, now)
}

// KeepRegistrationsBySite takes the registrations at providers from the keys that they
// had in schema 2, a digest of all that they are found by, to those that begin with
// the site. One that cannot be read stays, and is found by nobody.
func KeepRegistrationsBySite(tx Tx) error {
	moved := map[string]storage.UpstreamClient{}
	for key := range scanPrefix(tx, []byte{kindUpstreamClient}) {
		var c storage.UpstreamClient
		if found, err := getJSON(tx, key, &c); err == nil && found && len(key) == 1+record.DigestSize {
			moved[string(key)] = c
		}
	}
	for key, c := range moved {
		value := bytes.Clone(tx.Get([]byte(key)))
		if err := tx.Delete([]byte(key)); err != nil {
			return err
		}
		if err := tx.Put(upstreamClientKey(c.Issuer, c.Provider, c.Server), value); err != nil {
			return err
		}
	}
	return nil
}
