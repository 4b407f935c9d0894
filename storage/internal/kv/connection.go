package kv

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

var errConnection = errors.New("storage: a connection needs an ID, an issuer, an owner and a server")

// Connection implements storage.ConnectionStore.
func (s *connectionStore) Connection(ctx context.Context, k storage.ConnectionKey, now time.Time) (storage.Connection, error) {
	return view(ctx, s.engine, func(r Reader) (storage.Connection, error) { return orNotFound(liveConnection(r, k, now)) })
}

// ConnectionByID implements storage.ConnectionStore.
func (s *connectionStore) ConnectionByID(ctx context.Context, issuer, id string, now time.Time) (storage.Connection, error) {
	return view(ctx, s.engine, func(r Reader) (storage.Connection, error) {
		key, err := handleTarget(r, issuer, id)
		if err != nil || key == nil {
			return orNotFound(storage.Connection{}, false, err)
		}
		c, found, err := getConnection(r, key)
		return orNotFound(c, found && c.ID == id && c.Issuer == issuer && !connectionEnded(c, now), err)
	})
}

// ConnectionsOf implements storage.ConnectionStore.
func (s *connectionStore) ConnectionsOf(ctx context.Context, issuer, owner string, now time.Time) ([]storage.Connection, error) {
	return view(ctx, s.engine, func(r Reader) ([]storage.Connection, error) { return liveConnections(r, issuer, owner, now) })
}

// Connections implements storage.ConnectionStore.
func (s *connectionStore) Connections(ctx context.Context, issuer, after string, limit int, now time.Time) ([]storage.Connection, string, error) {
	from, err := hex.DecodeString(after)
	if err != nil {
		return nil, "", storage.ErrPlace
	}
	p, err := view(ctx, s.engine, func(r Reader) (page[storage.Connection], error) {
		prefix := connectionsPrefix(issuer, "")
		return readPage(r, prefix, string(from), limit, func(rest, value []byte) (storage.Connection, bool) {
			var c storage.Connection
			err := openJSON(value, &c)
			return c, err == nil && !connectionEnded(c, now) && bytes.Equal(connectionKey(c.ConnectionKey), slices.Concat(prefix, rest))
		}), nil
	})
	return p.records, hex.EncodeToString([]byte(p.next)), err
}

// PutConnection implements storage.ConnectionStore.
func (s *connectionStore) PutConnection(ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
	return s.ReplaceConnection(ctx, storage.ConnectionReplacement{Connection: c}, now)
}

// ReplaceConnection implements storage.ConnectionStore.
func (s *connectionStore) ReplaceConnection(ctx context.Context, c storage.ConnectionReplacement, now time.Time) (storage.Connection, storage.Verdict, error) {
	if c.ID == "" || c.Issuer == "" || c.Owner == "" || c.Server == "" {
		return storage.Connection{}, storage.Unknown, errConnection
	}
	return decideConnection(ctx, s.engine, func(tx Tx) (storage.Connection, storage.Verdict, error) {
		current, found, err := liveConnection(tx, c.ConnectionKey, now)
		if err != nil {
			return current, storage.Unknown, err
		}
		if c.UsesUp != nil {
			if was, err := used(tx, c.UsesUp.Hash, now); was || err != nil {
				return current, storage.AlreadyUsed, err
			}
		}
		if there, err := holds(tx, c.Issuer, c.Authentication, now); !there || err != nil {
			return current, storage.SignedOut, err
		}
		if since, err := disconnectedSince(tx, c); since || err != nil {
			return current, storage.DisconnectedSince, err
		}
		if c.Revision != current.Revision || found && c.ID != current.ID {
			return current, storage.Changed, nil
		}
		if c.UsesUp != nil {
			if err := useUp(tx, *c.UsesUp); err != nil {
				return current, storage.Unknown, err
			}
		}
		next := c // the transaction may run again
		next.Lease, next.LeaseUntil = "", time.Time{}
		next.Revision++
		return next.Connection, storage.OK, replaceConnection(tx, next, now)
	})
}

// decideConnection runs a verb that answers with a connection and a verdict.
func decideConnection(ctx context.Context, e Engine, verb func(Tx) (storage.Connection, storage.Verdict, error)) (storage.Connection, storage.Verdict, error) {
	verdict := storage.Unknown
	c, err := update(ctx, e, func(tx Tx) (c storage.Connection, err error) {
		c, verdict, err = verb(tx)
		return c, err
	})
	if err != nil {
		return storage.Connection{}, storage.Unknown, err
	}
	return c, verdict, nil
}

// orNotFound turns what was not found into ErrNotFound.
func orNotFound(c storage.Connection, found bool, err error) (storage.Connection, error) {
	if err == nil && !found {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.Connection{}, err
	}
	return c, nil
}

var errLease = errors.New("storage: a lease needs a holder and an end that is still to come")

// LeaseConnection implements storage.ConnectionStore.
func (s *connectionStore) LeaseConnection(ctx context.Context, of storage.Connection, holder string, until, now time.Time) (storage.Connection, storage.Verdict, error) {
	if holder == "" || ended(until, now) {
		return storage.Connection{}, storage.Unknown, errLease
	}
	return decideConnection(ctx, s.engine, func(tx Tx) (storage.Connection, storage.Verdict, error) {
		c, found, err := liveConnection(tx, of.ConnectionKey, now)
		switch {
		case err != nil || !found:
			return c, storage.Unknown, err
		case c.State != storage.Active && c.State != storage.InDoubt:
			return c, storage.Changed, nil
		case c.Lease != "" && !ended(c.LeaseUntil, now):
			return c, storage.LeaseHeld, nil
		case c.Lease != "":
			c.State, c.UpdatedAt = storage.InDoubt, now
			c.Lease, c.LeaseUntil = "", time.Time{}
			c.Revision++
			return c, storage.LeaseExpired, putConnection(tx, c, now)
		case c.ID != of.ID || c.Revision != of.Revision:
			return c, storage.Changed, nil
		}
		c.Lease, c.LeaseUntil = holder, until
		if c.State == storage.InDoubt {
			c.Retries++
		}
		c.Revision++
		return c, storage.OK, putConnection(tx, c, now)
	})
}

var errConnectionExists = errors.New("storage: another connection has this ID")

// liveConnection returns the connection, zero when there is none or it ended.
func liveConnection(r Reader, k storage.ConnectionKey, now time.Time) (storage.Connection, bool, error) {
	c, found, err := getConnection(r, connectionKey(k))
	if err == nil && found && c.ConnectionKey != k {
		err = record.ErrCorrupt // somebody moved the record
	}
	if err != nil || !found || connectionEnded(c, now) {
		return storage.Connection{}, false, err
	}
	return c, true, nil
}

// liveConnections returns the connections of an owner, or with none of
// everybody, by server and then by owner.
func liveConnections(r Reader, issuer, owner string, now time.Time) ([]storage.Connection, error) {
	var all []storage.Connection
	prefix := connectionsPrefix(issuer, owner)
	for key := range scanPrefix(r, prefix) {
		c, _, err := getConnection(r, key)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(connectionKey(c.ConnectionKey), key) {
			return nil, record.ErrCorrupt
		}
		if !connectionEnded(c, now) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b storage.Connection) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Owner, b.Owner))
	})
	return all, nil
}

func connectionEnded(c storage.Connection, now time.Time) bool {
	return !c.ExpiresAt.IsZero() && ended(c.ExpiresAt, now)
}

func getConnection(r Reader, key []byte) (c storage.Connection, found bool, err error) {
	found, err = getJSON(r, key, &c)
	return c, found, err
}

// handleTarget returns the key of the connection that has the ID, or nil.
func handleTarget(r Reader, issuer, id string) ([]byte, error) {
	v := r.Get(handleKey(issuer, id))
	if v == nil {
		return nil, nil
	}
	_, key, err := record.Open(v)
	return key, err
}

// replaceConnection stores the connection in place of the one that its owner
// had, and queues what it revokes.
func replaceConnection(tx Tx, c storage.ConnectionReplacement, now time.Time) error {
	if err := putConnection(tx, c.Connection, now); err != nil || c.Revokes == nil {
		return err
	}
	return putRevocation(tx, *c.Revokes)
}

// putConnection stores the connection in place of the one that its owner had.
func putConnection(tx Tx, c storage.Connection, now time.Time) error {
	key := connectionKey(c.ConnectionKey)
	if err := removeConnection(tx, key, now); err != nil {
		return err
	}
	handle := handleKey(c.Issuer, c.ID)
	if tx.Get(handle) != nil {
		return errConnectionExists
	}
	keepUntil := record.UntilOrForever(c.ExpiresAt)
	if err := tx.Put(handle, append(record.New(keepUntil, len(key)), key...)); err != nil {
		return err
	}
	return putJSON(tx, key, keepUntil, c)
}

// removeConnection removes the connection, if any, and its handle.
func removeConnection(tx Tx, key []byte, now time.Time) error {
	c, found, err := getConnection(tx, key)
	if err != nil || !found {
		return err
	}
	if err := queueExpired(tx, c, now); err != nil {
		return err
	}
	if err := tx.Delete(handleKey(c.Issuer, c.ID)); err != nil {
		return err
	}
	return tx.Delete(key)
}

// sweepConnection removes a connection that ended. The sweep comes to its
// handle by itself.
func sweepConnection(tx Tx, key []byte, now time.Time) error {
	if c, _, err := getConnection(tx, key); err == nil { // a corrupt one must not stop the sweep
		if err := queueExpired(tx, c, now); err != nil {
			return err
		}
	}
	return tx.Delete(key)
}

// queueExpired queues what is to be queued if the connection has ended.
func queueExpired(tx Tx, c storage.Connection, now time.Time) error {
	if c.OnExpiry == nil || !connectionEnded(c, now) || ended(c.OnExpiry.ExpiresAt, now) {
		return nil
	}
	return putRevocation(tx, *c.OnExpiry)
}
