package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// AccessToken implements storage.Store.
func (s *Store) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	var t storage.AccessToken
	// Not through view, which costs allocations: this is the read of every
	// call that the gate has not cached.
	err := s.engine.View(ctx, func(r Reader) error {
		token, found, err := getAccessToken(r, h)
		if err == nil && (!found || ended(token.ExpiresAt, now)) {
			err = storage.ErrNotFound
		}
		t = token
		return err
	})
	if err != nil {
		return storage.AccessToken{}, err
	}
	return t, nil
}

// RevokeAccessToken implements storage.Store.
func (s *Store) RevokeAccessToken(ctx context.Context, h storage.Hash, issuer, clientID string) (bool, error) {
	return update(ctx, s, func(tx Tx) (bool, error) {
		t, found, err := getAccessToken(tx, h)
		if err != nil || !found || t.Issuer != issuer || t.ClientID != clientID {
			return false, err
		}
		return true, tx.Delete(hashKey(kindAccess, h))
	})
}

func getAccessToken(r Reader, h storage.Hash) (storage.AccessToken, bool, error) {
	t, found, err := getBinary(r, hashKey(kindAccess, h), decodeAccessToken)
	t.Hash = h
	return t, found, err
}

func putAccessToken(tx Tx, t storage.AccessToken) error {
	return tx.Put(hashKey(kindAccess, t.Hash), appendAccessToken(newValue(until(t.ExpiresAt), 256), t))
}
