package kv

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var errConnection = errors.New("storage: a connection needs an ID, an issuer, an owner and a server")

// Connection implements storage.Store.
func (s *Store) Connection(ctx context.Context, k storage.ConnectionKey, now time.Time) (storage.Connection, error) {
	return view(ctx, s, func(r Reader) (storage.Connection, error) { return presentConnection(liveConnection(r, k, now)) })
}

// ConnectionByID implements storage.Store.
func (s *Store) ConnectionByID(ctx context.Context, issuer, id string, now time.Time) (storage.Connection, error) {
	return view(ctx, s, func(r Reader) (storage.Connection, error) {
		key, err := handleTarget(r, issuer, id)
		if err != nil || key == nil {
			return presentConnection(storage.Connection{}, false, err)
		}
		c, found, err := getConnection(r, key)
		return presentConnection(c, found && c.ID == id && c.Issuer == issuer && !connectionEnded(c, now), err)
	})
}

// ConnectionsOf implements storage.Store.
func (s *Store) ConnectionsOf(ctx context.Context, issuer, owner string, now time.Time) ([]storage.Connection, error) {
	return view(ctx, s, func(r Reader) ([]storage.Connection, error) { return liveConnections(r, issuer, owner, now) })
}

// PutConnection implements storage.Store.
func (s *Store) PutConnection(ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
	if c.ID == "" || c.Issuer == "" || c.Owner == "" || c.Server == "" {
		return storage.Connection{}, storage.Unknown, errConnection
	}
	return decideConnection(ctx, s, func(tx Tx) (storage.Connection, storage.Verdict, error) {
		current, found, err := liveConnection(tx, c.ConnectionKey, now)
		if err != nil {
			return current, storage.Unknown, err
		}
		if c.UsesUp != nil {
			if was, err := used(tx, c.UsesUp.Hash, now); was || err != nil {
				return current, storage.AlreadyUsed, err
			}
		}
		if there, err := stillThere(tx, c.Issuer, c.Authentication, now); !there || err != nil {
			return current, storage.SignedOut, err
		}
		if since, err := disconnectedSince(tx, c); since || err != nil {
			return current, storage.DisconnectedSince, err
		}
		if c.Revision != current.Revision || found && c.ID != current.ID {
			return current, storage.Changed, nil
		}
		c.Lease, c.LeaseUntil = "", time.Time{}
		c.Revision++
		if c.UsesUp != nil {
			if err := useUp(tx, *c.UsesUp); err != nil {
				return current, storage.Unknown, err
			}
		}
		c, err = replaceConnection(tx, c, now)
		return c, storage.OK, err
	})
}

// decideConnection runs a verb that answers with a connection and a verdict.
func decideConnection(ctx context.Context, s *Store, verb func(Tx) (storage.Connection, storage.Verdict, error)) (storage.Connection, storage.Verdict, error) {
	verdict := storage.Unknown
	c, err := update(ctx, s, func(tx Tx) (c storage.Connection, err error) {
		c, verdict, err = verb(tx)
		return c, err
	})
	if err != nil {
		return storage.Connection{}, storage.Unknown, err
	}
	return c, verdict, nil
}

// presentConnection turns what was not found into ErrNotFound.
func presentConnection(c storage.Connection, found bool, err error) (storage.Connection, error) {
	if err == nil && !found {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.Connection{}, err
	}
	return c, nil
}
