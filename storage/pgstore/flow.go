package pgstore

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// SaveFlow implements storage.AuthStore. Mostly the flow is not there yet, and
// depends on nothing: it is made at once.
func (s *authStore) SaveFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	if f.KnownBy() == nil {
		body, err := encode(s.db, f, flowTimes)
		if err != nil {
			return storage.Unknown, err
		}
		made, err := s.once(ctx, insertFlow+` on conflict (id) do nothing returning ''::bytea as answer`, s.flowRow(f, body)...)
		switch {
		case err != nil:
			return storage.Unknown, err
		case made:
			return storage.OK, nil
		}
	}
	return s.changeFlow(ctx, f, now)
}

// changeFlow is SaveFlow where there is something to decide. A flow that is not there
// yet is held by an empty row, which is gone if the verb refuses.
func (s *authStore) changeFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	return update(ctx, s.db, func(t *tx) (storage.Verdict, error) {
		var b []byte
		t.query(one(&b), `insert into {}flows (id, of_subject, browser, keep_until, body) values ($1, '', '', 0, '')
			on conflict (id) do update set id = excluded.id returning body`, []byte(f.ID))
		known := holds{Authentication: f.KnownBy()}
		lockHolds(t, &known)
		if err := t.send(); err != nil {
			return storage.Unknown, err
		}
		if len(b) == 0 {
			b = nil
		}
		old, found, err := s.liveFlow(b, now)
		switch {
		case err != nil:
			return storage.Unknown, err
		case found && old.Submitted:
			return storage.Submitted, nil
		}
		if there, err := t.hold(known, f.Issuer, now); !there || err != nil {
			return storage.SignedOut, err
		}
		if found && !old.Identity.Same(f.Identity) {
			// The row stays: whoever waits for its lock would not see another one.
			if err := forgetConnected(t, []storage.Flow{old}, now); err != nil {
				return storage.Unknown, err
			}
		}
		return storage.OK, putFlow(t, f)
	})
}

const flowByID = `select f.body, p.body from {}flows f left join {}persons p on p.id = f.person where f.id = $1`

// Flow implements storage.AuthStore.
func (s *authStore) Flow(ctx context.Context, id string, now time.Time) (storage.Flow, error) {
	o, err := view(ctx, s.db, oneOwned, flowByID, []byte(id))
	if err != nil {
		return storage.Flow{}, err
	}
	f, found, err := s.filledFlow(o, now)
	if err == nil && found && f.ID != id {
		err = record.ErrCorrupt // somebody moved the record
	}
	return live(f, found, err)
}

// EndFlows implements storage.AuthStore.
func (s *authStore) EndFlows(ctx context.Context, issuer, subject string, now time.Time) error {
	return change(ctx, s.db, func(t *tx) error {
		var found [][]byte
		t.query(many(&found), `select body from {}flows where of_subject = $1 order by id for update`, record.Digest(issuer, subject))
		if err := t.send(); err != nil {
			return err
		}
		ending, err := t.pending(found, issuer, now, func(f storage.Flow) bool { return f.Identity.Subject == subject })
		if err != nil {
			return err
		}
		return endFlows(t, ending, now)
	})
}

const insertFlow = `insert into {}flows (id, of_subject, owner, person, browser, keep_until, body) values ($1, $2, $3, $4, $5, $6, $7)`

func (d *db) flowRow(f storage.Flow, body []byte) []any {
	return []any{
		[]byte(f.ID), record.Digest(f.Issuer, f.Identity.Subject), record.Digest(f.Identity.Subject), personOf(f.Issuer, f.Identity),
		key(f.Browser), d.keep(f.ExpiresAt), body,
	}
}

// putFlow stores a flow over the row that is locked.
func putFlow(t *tx, f storage.Flow) error {
	b, err := encode(t.db, f, flowTimes)
	t.exec(insertFlow+` on conflict (id) do update set of_subject = excluded.of_subject, owner = excluded.owner, person = excluded.person,
		browser = excluded.browser, keep_until = excluded.keep_until, body = excluded.body`, t.flowRow(f, b)...)
	return err
}

// endFlows forgets who the people of flows are, and removes what they connected
// and were about to. The flows are locked.
func endFlows(t *tx, flows []storage.Flow, now time.Time) error {
	for _, f := range flows {
		t.exec(`delete from {}flows where id = $1`, []byte(f.ID))
	}
	return forgetConnected(t, flows, now)
}

// forgetConnected removes what people connected in flows and were about to.
func forgetConnected(t *tx, flows []storage.Flow, now time.Time) error {
	if len(flows) == 0 {
		return nil
	}
	made := make([][][]byte, len(flows))
	for i, f := range flows {
		issuer, owner := record.Digest(f.Issuer), record.Digest(storage.FlowOwner(f.ID))
		t.exec(`delete from {}connect_states where issuer = $1 and owner = $2`, issuer, owner)
		t.query(many(&made[i]), `select body from {}connections where issuer = $1 and owner = $2 order by server for update`, issuer, owner)
	}
	if err := t.send(); err != nil {
		return err
	}
	for _, bodies := range made {
		for _, b := range bodies {
			c, _, err := decode(t.db, b, connectionTimes)
			if err != nil {
				return err
			}
			if c.OnExpiry != nil && !connectionEnded(c, now) {
				if err := putRevocation(t, *c.OnExpiry); err != nil {
					return err
				}
			}
			if err := removeConnection(t, c, now); err != nil {
				return err
			}
		}
	}
	return nil
}
