package pgstore

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

var (
	errConnection       = errors.New("storage: a connection needs an ID, an issuer, an owner and a server")
	errConnectionExists = errors.New("storage: another connection has this ID")
	errLease            = errors.New("storage: a lease needs a holder and an end that is still to come")
)

// connectionsOfOwner are those of an owner.
const connectionsOfOwner = `select body from {}connections where issuer = $1 and owner = $2`

// Connection implements storage.ConnectionStore.
func (s *connectionStore) Connection(ctx context.Context, k storage.ConnectionKey, now time.Time) (storage.Connection, error) {
	if found, err, is := known[[][]byte](ctx, s.db, connectionsOfOwner, record.Digest(k.Issuer), record.Digest(k.Owner)); is && err == nil {
		all, err := s.liveConnections(found, k.Issuer, k.Owner, now)
		i := slices.IndexFunc(all, func(c storage.Connection) bool { return c.Server == k.Server })
		if err != nil || i < 0 {
			return live(storage.Connection{}, false, err)
		}
		return all[i], nil
	}
	b, err := view(ctx, s.db, body, `select body from {}connections where issuer = $1 and owner = $2 and server = $3`,
		record.Digest(k.Issuer), record.Digest(k.Owner), record.Digest(k.Server))
	if err != nil {
		return storage.Connection{}, err
	}
	return live(s.liveConnection(b, k, now))
}

// ConnectionByID implements storage.ConnectionStore.
func (s *connectionStore) ConnectionByID(ctx context.Context, issuer, id string, now time.Time) (storage.Connection, error) {
	b, err := view(ctx, s.db, body, `select body from {}connections where handle = $1`, record.Digest(issuer, id))
	if err != nil {
		return storage.Connection{}, err
	}
	c, found, err := decode(s.db, b, connectionTimes)
	return live(c, found && c.ID == id && c.Issuer == issuer && !connectionEnded(c, now), err)
}

// ConnectionsOf implements storage.ConnectionStore.
func (s *connectionStore) ConnectionsOf(ctx context.Context, issuer, owner string, now time.Time) ([]storage.Connection, error) {
	sql, args := `select body from {}connections where issuer = $1`, []any{record.Digest(issuer)}
	if owner != "" {
		sql, args = connectionsOfOwner, append(args, record.Digest(owner))
	}
	found, err := view(ctx, s.db, bodies, sql, args...)
	if err != nil {
		return nil, err
	}
	return s.liveConnections(found, issuer, owner, now)
}

// Connections implements storage.ConnectionStore.
func (s *connectionStore) Connections(ctx context.Context, issuer, after string, limit int, now time.Time) (connections []storage.Connection, next string, err error) {
	limit = min(max(limit, 0), maxPage)
	from, err := hex.DecodeString(after)
	if err != nil {
		return nil, "", storage.ErrPlace
	}
	rows, err := view(ctx, s.db, rowsOf, `select owner || server, body from {}connections
		where issuer = $1 and (owner, server) > (substr($2::bytea, 1, $3), substr($2::bytea, $3 + 1)) order by owner, server limit $4`,
		record.Digest(issuer), from, record.DigestSize, limit+1)
	if err != nil {
		return nil, "", err
	}
	for i, r := range rows {
		if i == limit {
			return connections, after, nil
		}
		after = hex.EncodeToString(r.id)
		if c, found, err := decode(s.db, r.body, connectionTimes); err == nil && found && c.Issuer == issuer && !connectionEnded(c, now) {
			connections = append(connections, c)
		} // a damaged one must not hide those behind it
	}
	return connections, "", nil
}

// PutConnection implements storage.ConnectionStore.
func (s *connectionStore) PutConnection(ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
	return s.replace(ctx, storage.ConnectionReplacement{Connection: c}, kept, now)
}

// ReplaceConnection implements storage.ConnectionStore.
func (s *connectionStore) ReplaceConnection(ctx context.Context, c storage.ConnectionReplacement, now time.Time) (storage.Connection, storage.Verdict, error) {
	return s.replace(ctx, c, made, now)
}

func (s *connectionStore) replace(ctx context.Context, c storage.ConnectionReplacement, how put, now time.Time) (storage.Connection, storage.Verdict, error) {
	if c.ID == "" || c.Issuer == "" || c.Owner == "" || c.Server == "" {
		return storage.Connection{}, storage.Unknown, errConnection
	}
	return s.decide(ctx, func(t *tx) (storage.Connection, storage.Verdict, error) {
		auth := holds{Authentication: c.Authentication}
		lockFlowOf(t, c)
		lockHolds(t, &auth)
		there := lockConnection(t, c.ConnectionKey)
		var once []byte
		holdIfAny(t, &once, c.UsesUp)
		if err := t.send(); err != nil {
			return storage.Connection{}, storage.Unknown, err
		}
		current, found, err := s.liveConnection(there.body, c.ConnectionKey, now)
		if err != nil {
			return current, storage.Unknown, err
		}
		if was, err := s.used(once, now); was || err != nil {
			return current, storage.AlreadyUsed, err
		}
		if still, err := s.hold(auth, c.Issuer, now); !still || err != nil {
			return current, storage.SignedOut, err
		}
		if c.LastDisconnect != nil && there.disconnect > *c.LastDisconnect {
			return current, storage.DisconnectedSince, nil
		}
		if c.Revision != current.Revision || found && c.ID != current.ID {
			return current, storage.Changed, nil
		}
		if c.UsesUp != nil {
			useUp(t, *c.UsesUp)
		}
		next := c.Connection // the transaction may run again
		next.Lease, next.LeaseUntil = "", time.Time{}
		next.Revision++
		return next, storage.OK, putConnection(t, there.body, next, how, c.Revokes, now)
	})
}

// lockFlowOf has what ends the flow that a connection is made in, if any, find it: that
// looks for the flow's connections once it has the flow.
func lockFlowOf(t *tx, c storage.ConnectionReplacement) {
	flow := record.FlowOf(storage.ConnectState{ConnectionKey: c.ConnectionKey})
	if flow != nil && (c.Authentication == nil || c.Authentication.FlowID == "") { // else it is locked for that
		t.exec(`select 1 from {}flows where id = $1 for share`, flow)
	}
}

// LeaseConnection implements storage.ConnectionStore.
func (s *connectionStore) LeaseConnection(ctx context.Context, of storage.Connection, holder string, until, now time.Time) (storage.Connection, storage.Verdict, error) {
	if holder == "" || ended(until, now) {
		return storage.Connection{}, storage.Unknown, errLease
	}
	return s.decide(ctx, func(t *tx) (storage.Connection, storage.Verdict, error) {
		there := lockConnection(t, of.ConnectionKey)
		if err := t.send(); err != nil {
			return storage.Connection{}, storage.Unknown, err
		}
		c, found, err := s.liveConnection(there.body, of.ConnectionKey, now)
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
			return c, storage.LeaseExpired, putConnection(t, there.body, c, kept, nil, now)
		case c.ID != of.ID || c.Revision != of.Revision:
			return c, storage.Changed, nil
		}
		c.Lease, c.LeaseUntil = holder, until
		if c.State == storage.InDoubt {
			c.Retries++
		}
		c.Revision++
		return c, storage.OK, putConnection(t, there.body, c, kept, nil, now)
	})
}

// decide runs a verb that answers with a connection and a verdict.
func (d *db) decide(ctx context.Context, verb func(*tx) (storage.Connection, storage.Verdict, error)) (storage.Connection, storage.Verdict, error) {
	verdict := storage.Unknown
	c, err := update(ctx, d, func(t *tx) (c storage.Connection, err error) {
		c, verdict, err = verb(t)
		return c, err
	})
	if err != nil {
		return storage.Connection{}, storage.Unknown, err
	}
	return c, verdict, nil
}

// connected is what there is with a connection's key, which is locked.
type connected struct {
	body       []byte
	disconnect uint64
}

// lockConnection queues the lock of a key, whether or not there is a connection.
func lockConnection(t *tx, k storage.ConnectionKey) *connected {
	there := new(connected)
	t.lock(connectionLock(k))
	t.query(one(&there.body), `select body from {}connections where issuer = $1 and owner = $2 and server = $3 for update`,
		record.Digest(k.Issuer), record.Digest(k.Owner), record.Digest(k.Server))
	t.query(oneNumber(&there.disconnect), `select number from {}disconnects where id = $1`, disconnectID(k))
	return there
}

func connectionLock(k storage.ConnectionKey) []byte {
	return record.Digest("connection", k.Issuer, k.Owner, k.Server)
}

func connectionEnded(c storage.Connection, now time.Time) bool {
	return !c.ExpiresAt.IsZero() && ended(c.ExpiresAt, now)
}

// put tells how a connection comes to be stored.
type put bool

const (
	made put = false // a person connected it
	kept put = true  // it is the one that was there, such as refreshed
)

// putConnection stores the connection in place of the one that its owner had,
// and queues what it revokes.
func putConnection(t *tx, before []byte, c storage.Connection, how put, revokes *storage.ProviderRevocation, now time.Time) error {
	old, found, err := decode(t.db, before, connectionTimes)
	if err != nil {
		return err
	}
	if found {
		if err := queueExpired(t, old, now); err != nil {
			return err
		}
	}
	body, err := encode(t.db, c, connectionTimes)
	if err != nil {
		return err
	}
	t.exec(`insert into {}connections (issuer, owner, server, handle, keep_until, body) values ($1, $2, $3, $4, $5, $6)
		on conflict (issuer, owner, server) do update set handle = excluded.handle, keep_until = excluded.keep_until, body = excluded.body`,
		record.Digest(c.Issuer), record.Digest(c.Owner), record.Digest(c.Server), record.Digest(c.Issuer, c.ID), t.keepOrForever(c.ExpiresAt), body)
	if how == made || !found || old.State != storage.Active || c.State != storage.Active {
		tellConnection(t, c.ConnectionKey)
	}
	if revokes == nil {
		return nil
	}
	return putRevocation(t, *revokes)
}

// removeConnection removes a connection that is locked.
func removeConnection(t *tx, c storage.Connection, now time.Time) error {
	t.exec(`delete from {}connections where issuer = $1 and owner = $2 and server = $3`,
		record.Digest(c.Issuer), record.Digest(c.Owner), record.Digest(c.Server))
	tellConnection(t, c.ConnectionKey)
	return queueExpired(t, c, now)
}

// tellConnection tells others that a connection changed, unless it is one of a
// pending flow, which nobody remembers.
func tellConnection(t *tx, k storage.ConnectionKey) {
	if !strings.HasPrefix(k.Owner, storage.FlowOwner("")) {
		t.tell(storage.Change{Kind: storage.ConnectionChanged, Issuer: k.Issuer, Subject: k.Owner, Server: k.Server})
	}
}

// queueExpired queues what is to be queued if the connection has ended.
func queueExpired(t *tx, c storage.Connection, now time.Time) error {
	if c.OnExpiry == nil || !connectionEnded(c, now) || ended(c.OnExpiry.ExpiresAt, now) {
		return nil
	}
	return putRevocation(t, *c.OnExpiry)
}
