package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Disconnect implements storage.ConnectionStore.
func (s *connectionStore) Disconnect(ctx context.Context, c storage.Connection, queue *storage.ProviderRevocation, now time.Time) (storage.Connection, storage.Verdict, error) {
	return s.decide(ctx, func(t *tx) (storage.Connection, storage.Verdict, error) {
		none := storage.Connection{}
		there := lockConnection(t, c.ConnectionKey)
		if err := t.send(); err != nil {
			return none, storage.Unknown, err
		}
		current, found, err := s.liveConnection(there.body, c.ConnectionKey, now)
		if err != nil {
			return none, storage.Unknown, err
		}
		if found && (c.Revision != current.Revision || c.ID != current.ID) {
			return current, storage.Changed, nil
		}
		t.exec(`delete from {}connect_states where issuer = $1 and owner = $2 and server = $3`,
			record.Digest(c.Issuer), record.Digest(c.Owner), record.Digest(c.Server))
		rememberDisconnect(t, c.ConnectionKey, there.disconnect, now)
		if before, was, err := decode(s.db, there.body, connectionTimes); err != nil {
			return none, storage.Unknown, err
		} else if was {
			if err := removeConnection(t, before, now); err != nil {
				return none, storage.Unknown, err
			}
		}
		if queue != nil {
			if err := putRevocation(t, *queue); err != nil {
				return none, storage.Unknown, err
			}
		}
		if !found {
			return none, storage.Unknown, nil
		}
		return none, storage.OK, nil
	})
}

// LastDisconnect implements storage.ConnectionStore.
func (s *connectionStore) LastDisconnect(ctx context.Context, k storage.ConnectionKey) (uint64, error) {
	return view(ctx, s.db, func(rows pgx.Rows) (n uint64, err error) {
		err = oneNumber(&n)(rows)
		return n, err
	}, `select number from {}disconnects where id = $1`, connectionLock(k))
}

// rememberDisconnect stores a number that is larger than any before, also than
// those that were forgotten.
func rememberDisconnect(t *tx, k storage.ConnectionKey, last uint64, now time.Time) {
	t.clock.toDatabase(&now)
	t.exec(`insert into {}disconnects (id, keep_until, number) values ($1, $2, $3)
		on conflict (id) do update set keep_until = excluded.keep_until, number = excluded.number`,
		connectionLock(k), int64(record.Until(now.Add(storage.DisconnectMemory))), int64(max(last+1, uint64(now.UnixNano()))))
}

func oneNumber(n *uint64) func(pgx.Rows) error {
	*n = 0
	return func(rows pgx.Rows) error {
		for rows.Next() {
			var number int64
			if err := rows.Scan(&number); err != nil {
				return err
			}
			*n = uint64(number)
		}
		return rows.Err()
	}
}

// SaveConnectState implements storage.ConnectionStore.
func (s *connectionStore) SaveConnectState(ctx context.Context, state storage.ConnectState) error {
	return change(ctx, s.db, func(t *tx) error {
		b, err := encode(s.db, state, stateTimes)
		t.exec(`insert into {}connect_states (hash, issuer, owner, server, keep_until, body) values ($1, $2, $3, $4, $5, $6)
			on conflict (hash) do update set issuer = excluded.issuer, owner = excluded.owner, server = excluded.server,
				keep_until = excluded.keep_until, body = excluded.body`,
			key(state.Hash), record.Digest(state.Issuer), record.Digest(state.Owner), record.Digest(state.Server), t.keep(state.ExpiresAt), b)
		return err
	})
}

// ClaimConnectState implements storage.ConnectionStore.
func (s *connectionStore) ClaimConnectState(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.ConnectState, storage.Verdict, error) {
	verdict := storage.Unknown
	claimed, err := update(ctx, s.db, func(t *tx) (none storage.ConnectState, err error) {
		verdict = storage.Unknown // the last run counts
		var b []byte
		t.query(one(&b), `select body from {}connect_states where hash = $1 for update`, key(state))
		if err := t.send(); err != nil {
			return none, err
		}
		trip, found, err := decode(s.db, b, stateTimes)
		if err != nil || !found || ended(trip.ExpiresAt, now) {
			return none, err
		}
		if trip.Browser != browser {
			verdict = storage.WrongBrowser
			return none, nil
		}
		verdict, trip.Hash = storage.OK, state
		t.exec(`delete from {}connect_states where hash = $1`, key(state))
		return trip, nil
	})
	if err != nil {
		return storage.ConnectState{}, storage.Unknown, err
	}
	return claimed, verdict, nil
}
