package kv

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var errConnectionExists = errors.New("storage: another connection has this ID")

// liveConnection returns the connection, zero when there is none or it ended.
func liveConnection(r Reader, k storage.ConnectionKey, now time.Time) (storage.Connection, bool, error) {
	c, found, err := getConnection(r, connectionKey(k))
	if err == nil && found && c.ConnectionKey != k {
		err = errCorrupt // somebody moved the record
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
			return nil, errCorrupt
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
	_, key, err := openValue(v)
	return key, err
}

// replaceConnection stores the connection in place of the one that its owner
// had, queues what it revokes, and returns it as it is stored.
func replaceConnection(tx Tx, c storage.Connection, now time.Time) (storage.Connection, error) {
	queue := c.Revokes
	c.Revokes, c.UsesUp, c.Authentication, c.LastDisconnect = nil, nil, nil, nil
	if err := putConnection(tx, c, now); err != nil || queue == nil {
		return c, err
	}
	return c, putRevocation(tx, *queue)
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
	keepUntil := untilOrForever(c.ExpiresAt)
	if err := tx.Put(handle, append(newValue(keepUntil, len(key)), key...)); err != nil {
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

// untilOrForever is until for a record that may have no end.
func untilOrForever(t time.Time) keep {
	if t.IsZero() {
		return forever
	}
	return until(t)
}
