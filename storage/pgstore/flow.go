package pgstore

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// SaveFlow implements storage.AuthStore. A flow that is not there yet is held by
// an empty row, which is gone if the verb refuses.
func (s *authStore) SaveFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	return update(ctx, s.db, func(t *tx) (storage.Verdict, error) {
		var b []byte
		t.query(one(&b), `insert into {}flows (id, of_subject, browser, keep_until, body) values ($1, '', '', 0, '')
			on conflict (id) do update set id = excluded.id returning body`, []byte(f.ID))
		if err := t.send(); err != nil {
			return storage.Unknown, err
		}
		if len(b) > 0 {
			old, found, err := s.liveFlow(b, now)
			if err != nil {
				return storage.Unknown, err
			}
			if found && old.Submitted {
				return storage.Submitted, nil
			}
			if found && !old.Identity.Same(f.Identity) {
				if err := t.endFlows([]storage.Flow{old}, now); err != nil {
					return storage.Unknown, err
				}
			}
		}
		return storage.OK, t.putFlow(f)
	})
}

// Flow implements storage.AuthStore.
func (s *authStore) Flow(ctx context.Context, id string, now time.Time) (storage.Flow, error) {
	b, err := view(ctx, s.db, body, `select body from {}flows where id = $1`, []byte(id))
	if err != nil {
		return storage.Flow{}, err
	}
	return live(s.liveFlow(b, now))
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
		return t.endFlows(ending, now)
	})
}

// liveFlow returns a flow, false when there is none or it ended.
func (d *db) liveFlow(body []byte, now time.Time) (storage.Flow, bool, error) {
	f, found, err := decode(d, body, flowTimes)
	if err != nil || !found || ended(f.ExpiresAt, now) {
		return storage.Flow{}, false, err
	}
	return f, true, nil
}

// putFlow stores a flow over the row that is locked, or was removed.
func (t *tx) putFlow(f storage.Flow) error {
	b, err := encode(t.db, f, flowTimes)
	t.exec(`insert into {}flows (id, of_subject, browser, keep_until, body) values ($1, $2, $3, $4, $5)
		on conflict (id) do update set of_subject = excluded.of_subject, browser = excluded.browser,
			keep_until = excluded.keep_until, body = excluded.body`,
		[]byte(f.ID), record.Digest(f.Issuer, f.Identity.Subject), key(f.Browser), t.keep(f.ExpiresAt), b)
	return err
}

// pending returns the flows that nobody submitted yet and that are meant.
func (d *db) pending(found [][]byte, issuer string, now time.Time, meant func(storage.Flow) bool) (all []storage.Flow, err error) {
	for _, b := range found {
		f, found, err := d.liveFlow(b, now)
		if err != nil {
			return nil, err
		}
		if found && f.Issuer == issuer && !f.Submitted && meant(f) {
			all = append(all, f)
		}
	}
	return all, nil
}

// endFlows forgets who the people of flows are, and removes what they connected
// and were about to. The flows are locked.
func (t *tx) endFlows(flows []storage.Flow, now time.Time) error {
	if len(flows) == 0 {
		return nil
	}
	made := make([][][]byte, len(flows))
	for i, f := range flows {
		issuer, owner := record.Digest(f.Issuer), record.Digest(storage.FlowOwner(f.ID))
		t.exec(`delete from {}connect_states where issuer = $1 and owner = $2`, issuer, owner)
		t.query(many(&made[i]), `select body from {}connections where issuer = $1 and owner = $2 order by server for update`, issuer, owner)
		t.exec(`delete from {}flows where id = $1`, []byte(f.ID))
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
				if err := t.putRevocation(*c.OnExpiry); err != nil {
					return err
				}
			}
			if err := t.removeConnection(c, now); err != nil {
				return err
			}
		}
	}
	return nil
}
