package pgstore

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

const upstreamClientsOf = `select body from {}upstream_clients where issuer = $1`

// UpstreamClient implements storage.ConnectionStore.
func (s *connectionStore) UpstreamClient(ctx context.Context, issuer, provider, server string, now time.Time) (storage.UpstreamClient, error) {
	if _, err, is := known[[][]byte](ctx, s.db, upstreamClientsOf, record.Digest(issuer)); is && err == nil {
		all, err := s.UpstreamClients(ctx, issuer, now)
		i := slices.IndexFunc(all, func(c storage.UpstreamClient) bool { return c.Provider == provider && c.Server == server })
		if err != nil || i < 0 {
			return live(storage.UpstreamClient{}, false, err)
		}
		return all[i], nil
	}
	b, err := view(ctx, s.db, body, `select body from {}upstream_clients where id = $1`, record.Digest(issuer, provider, server))
	if err != nil {
		return storage.UpstreamClient{}, err
	}
	return live(s.upstreamClient(b, issuer, provider, server, now))
}

// UpstreamClients implements storage.ConnectionStore.
func (s *connectionStore) UpstreamClients(ctx context.Context, issuer string, now time.Time) ([]storage.UpstreamClient, error) {
	found, err := view(ctx, s.db, bodies, upstreamClientsOf, record.Digest(issuer))
	if err != nil {
		return nil, err
	}
	var all []storage.UpstreamClient
	for _, b := range found {
		c, _, err := decode(s.db, b, upstreamTimes)
		if err != nil {
			return nil, err
		}
		if c.Issuer != issuer {
			return nil, record.ErrCorrupt // somebody moved the record
		}
		if !upstreamClientEnded(c, now) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b storage.UpstreamClient) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Provider, b.Provider))
	})
	return all, nil
}

// PutUpstreamClient implements storage.ConnectionStore.
func (s *connectionStore) PutUpstreamClient(ctx context.Context, c storage.UpstreamClient, replaces []byte, now time.Time) (storage.Verdict, error) {
	return update(ctx, s.db, func(t *tx) (storage.Verdict, error) {
		id := record.Digest(c.Issuer, c.Provider, c.Server)
		var b []byte
		t.lock(id)
		t.query(one(&b), `select body from {}upstream_clients where id = $1`, id)
		if err := t.send(); err != nil {
			return storage.Unknown, err
		}
		current, found, err := s.upstreamClient(b, c.Issuer, c.Provider, c.Server, now)
		if err != nil {
			return storage.Unknown, err
		}
		if found != (replaces != nil) || !bytes.Equal(current.Secret, replaces) {
			return storage.Changed, nil
		}
		next, err := encode(s.db, c, upstreamTimes)
		t.exec(`insert into {}upstream_clients (id, issuer, keep_until, body) values ($1, $2, $3, $4)
			on conflict (id) do update set keep_until = excluded.keep_until, body = excluded.body`,
			id, record.Digest(c.Issuer), t.keepOrForever(c.ExpiresAt), next)
		return storage.OK, err
	})
}

// DeleteUpstreamClient implements storage.ConnectionStore.
func (s *connectionStore) DeleteUpstreamClient(ctx context.Context, c storage.UpstreamClient) error {
	return change(ctx, s.db, func(t *tx) error {
		id := record.Digest(c.Issuer, c.Provider, c.Server)
		var b []byte
		t.lock(id)
		t.query(one(&b), `select body from {}upstream_clients where id = $1`, id)
		if err := t.send(); err != nil {
			return err
		}
		current, found, err := decode(s.db, b, upstreamTimes)
		if err != nil || !found || !bytes.Equal(current.Secret, c.Secret) {
			return err
		}
		t.exec(`delete from {}upstream_clients where id = $1`, id)
		return nil
	})
}

func upstreamClientEnded(c storage.UpstreamClient, now time.Time) bool {
	return !c.ExpiresAt.IsZero() && ended(c.ExpiresAt, now)
}

// DueRevocations implements storage.ConnectionStore. It waits for whoever is taking the
// same, rather than to leave it to them: that may be an attempt of its own whose
// answer got lost, and which takes nothing in the end.
func (s *connectionStore) DueRevocations(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.ProviderRevocation, error) {
	return update(ctx, s.db, func(t *tx) (due []storage.ProviderRevocation, err error) {
		at := now
		t.clock.ToDatabase(&at)
		var found [][]byte
		t.query(many(&found), `select body from {}revocations where issuer = $1 and due_at <= $2 and keep_until > $3
			order by due_at, id limit $4 for update`, record.Digest(issuer), record.Nanos(at), at.Unix(), limit)
		if err := t.send(); err != nil {
			return nil, err
		}
		for _, b := range found {
			r, _, err := decode(s.db, b, revocationTimes)
			if err != nil {
				return nil, err
			}
			if ended(r.ExpiresAt, now) {
				continue
			}
			r.Attempts++
			r.DueAt = retryAt
			if err := putRevocation(t, r); err != nil {
				return nil, err
			}
			due = append(due, r)
		}
		return due, nil
	})
}

// QueueRevocation implements storage.ConnectionStore.
func (s *connectionStore) QueueRevocation(ctx context.Context, r storage.ProviderRevocation) error {
	return change(ctx, s.db, func(t *tx) error { return putRevocation(t, r) })
}

// EndRevocation implements storage.ConnectionStore.
func (s *connectionStore) EndRevocation(ctx context.Context, id string) error {
	return change(ctx, s.db, func(t *tx) error {
		t.exec(`delete from {}revocations where id = $1`, []byte(id))
		return nil
	})
}

func putRevocation(t *tx, r storage.ProviderRevocation) error {
	b, err := encode(t.db, r, revocationTimes)
	due := r.DueAt
	t.clock.ToDatabase(&due)
	t.exec(`insert into {}revocations (id, issuer, due_at, keep_until, body) values ($1, $2, $3, $4, $5)
		on conflict (id) do update set issuer = excluded.issuer, due_at = excluded.due_at, keep_until = excluded.keep_until, body = excluded.body`,
		[]byte(r.ID), record.Digest(r.Issuer), record.Nanos(due), t.keep(r.ExpiresAt), b)
	return err
}

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
	}, lastDisconnect, disconnectID(k))
}

const lastDisconnect = `select number from {}disconnects where id = $1`

// rememberDisconnect stores a number that is larger than any before, also than
// those that were forgotten.
func rememberDisconnect(t *tx, k storage.ConnectionKey, last uint64, now time.Time) {
	t.clock.ToDatabase(&now)
	t.exec(`insert into {}disconnects (id, keep_until, number) values ($1, $2, $3)
		on conflict (id) do update set keep_until = excluded.keep_until, number = excluded.number`,
		disconnectID(k), int64(record.Until(now.Add(storage.DisconnectMemory))), int64(max(last+1, uint64(now.UnixNano()))))
}

// disconnectID keeps its parts apart, as the file does, so that the record can be moved
// between both.
func disconnectID(k storage.ConnectionKey) []byte {
	return append(append(record.Digest(k.Issuer), record.Digest(k.Owner)...), record.Digest(k.Server)...)
}

// SaveConnectState implements storage.ConnectionStore.
func (s *connectionStore) SaveConnectState(ctx context.Context, state storage.ConnectState) error {
	return change(ctx, s.db, func(t *tx) error {
		b, err := encode(s.db, state, stateTimes)
		t.exec(`insert into {}connect_states (hash, issuer, owner, server, browser, flow, client, session, keep_until, body) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			on conflict (hash) do update set issuer = excluded.issuer, owner = excluded.owner, server = excluded.server,
				browser = excluded.browser, flow = excluded.flow, client = excluded.client, session = excluded.session, keep_until = excluded.keep_until, body = excluded.body`,
			key(state.Hash), record.Digest(state.Issuer), record.Digest(state.Owner), record.Digest(state.Server),
			key(state.Browser), record.FlowOf(state), record.IDOrNone(state.Client), record.HashOrNone(state.Session), t.keep(state.ExpiresAt), b)
		return err
	})
}

// ClaimConnectState implements storage.ConnectionStore. Mostly the browser is the one
// that left.
func (s *connectionStore) ClaimConnectState(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.ConnectState, storage.Verdict, error) {
	none := storage.ConnectState{}
	claim, err := update(ctx, s.db, func(t *tx) (*act, error) {
		readWithState(t, state)
		return t.actBy(`delete from {}connect_states where hash = $1 and browser = $2 returning body as answer`, key(state), key(browser)), nil
	})
	switch {
	case err != nil:
		return none, storage.Unknown, err
	case !claim.done:
		return s.claimFrom(ctx, state, browser, now)
	}
	left, _, err := decode(s.db, claim.answer, stateTimes)
	switch {
	case err != nil:
		return none, storage.Unknown, err
	case left.Browser != browser:
		return none, storage.Unknown, record.ErrCorrupt // somebody moved the record
	case ended(left.ExpiresAt, now): // it was as good as absent
		return none, storage.Unknown, nil
	}
	left.Hash = state
	return left, storage.OK, nil
}

// claimFrom is ClaimConnectState for any browser. A record of a version before does
// not tell it beside its body.
func (s *connectionStore) claimFrom(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.ConnectState, storage.Verdict, error) {
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
