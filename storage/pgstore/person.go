package pgstore

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Person implements storage.PersonStore.
func (s *personStore) Person(ctx context.Context, issuer, subject string, now time.Time) (storage.Person, error) {
	b, err := view(ctx, s.db, body, `select body from {}persons where id = $1`, record.Digest(issuer, subject))
	if err != nil {
		return storage.Person{}, err
	}
	p, found, err := s.person(b, issuer, subject)
	return live(p, found && !ended(p.ExpiresAt, now), err)
}

// UpdatePerson implements storage.PersonStore.
func (s *personStore) UpdatePerson(ctx context.Context, p storage.Person, now time.Time) (storage.Person, storage.Verdict, error) {
	return decidePerson(ctx, s.db, func(t *tx) (storage.Person, storage.Verdict, error) {
		before, _, err := lockPerson(t, p.Issuer, p.Subject)
		if err != nil {
			return p, storage.Unknown, err
		}
		next, verdict := p.InPlaceOf(before, now)
		if verdict != storage.OK {
			return p, verdict, nil
		}
		tellPerson(t, before, next)
		return next, storage.OK, putPerson(t, next)
	})
}

// decidePerson runs a verb that answers with a person, if it is OK, and a verdict.
func decidePerson(ctx context.Context, d *db, verb func(*tx) (storage.Person, storage.Verdict, error)) (storage.Person, storage.Verdict, error) {
	verdict := storage.Unknown
	p, err := update(ctx, d, func(t *tx) (p storage.Person, err error) {
		p, verdict, err = verb(t)
		return p, err
	})
	switch {
	case err != nil:
		return p, storage.Unknown, err
	case verdict != storage.OK:
		return storage.Person{}, verdict, nil
	}
	return p, storage.OK, nil
}

// DuePersons implements storage.PersonStore. It waits for whoever is taking the same,
// as DueRevocations does.
func (s *personStore) DuePersons(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.Person, error) {
	return update(ctx, s.db, func(t *tx) (due []storage.Person, err error) {
		at := now
		t.clock.ToDatabase(&at)
		var found [][]byte
		t.query(many(&found), `select body from {}persons where issuer = $1 and due_at <= $2 and keep_until > $3
			order by due_at, id limit $4 for update`, record.Digest(issuer), record.Nanos(at), at.Unix(), limit)
		if err := t.send(); err != nil {
			return nil, err
		}
		for _, b := range found {
			p, _, err := decode(s.db, b, personTimes)
			if err != nil {
				return nil, err
			}
			if ended(p.ExpiresAt, now) {
				continue
			}
			p.DueAt = retryAt
			p.Revision++
			if err := putPerson(t, p); err != nil {
				return nil, err
			}
			due = append(due, p)
		}
		return due, nil
	})
}

// EndPerson implements storage.PersonStore.
func (s *personStore) EndPerson(ctx context.Context, e storage.PersonEnd) (storage.Revocation, storage.Verdict, error) {
	verdict := storage.Unknown
	rev, err := update(ctx, s.db, func(t *tx) (rev storage.Revocation, err error) {
		rev, verdict, err = endPerson(t, e)
		return rev, err
	})
	if err != nil {
		return rev, storage.Unknown, err
	}
	return rev, verdict, nil
}

// lockApprovals queues the lock of whoever ends a person, and of whoever approves for
// them what had not begun before, by no session.
func lockApprovals(t *tx, issuer, subject string) {
	t.lock(record.Digest("approvals", issuer, subject))
}

// endPerson locks the flows before it looks at grants: whoever submits one has
// stored its grant by then, or finds no flow. It locks them before the sessions, as
// SaveFlow does. Of a flow that begins with its submission, by no session, there is no
// row to wait for.
func endPerson(t *tx, e storage.PersonEnd) (rev storage.Revocation, verdict storage.Verdict, err error) {
	subject := record.Digest(e.Issuer, e.Subject)
	var found, flows, grants [][]byte
	sessions := make(map[storage.Hash][]byte)
	lockApprovals(t, e.Issuer, e.Subject)
	t.query(many(&found), `select body from {}persons where id = $1 for update`, subject)
	ofSubject := func() {
		t.query(many(&flows), `select body from {}flows where of_subject = $1 order by id for update`, subject)
	}
	ofSubject()
	t.query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id, body []byte
			if err := rows.Scan(&id, &body); err != nil {
				return err
			}
			sessions[storage.Hash(id)] = body
		}
		return rows.Err()
	}, `select id, body from {}browser_sessions where of_subject = $1 order by id for update`, subject)
	ofSubject() // and those that were saved while a session was waited for
	t.query(many(&grants), `select body from {}grants where of_subject = $1 order by id for update`, subject)
	if err := t.send(); err != nil {
		return rev, storage.Unknown, err
	}
	var p storage.Person
	if len(found) > 0 {
		if p, _, err = t.person(found[0], e.Issuer, e.Subject); err != nil {
			return rev, storage.Unknown, err
		}
	}
	if !e.IsOf(p) {
		return rev, storage.Changed, nil
	}
	if rev, err = revokeGrantsOf(t, grants, e); err != nil {
		return rev, storage.Unknown, err
	}
	for h, body := range sessions {
		b, _, err := t.session(h, body)
		if err != nil {
			return rev, storage.Unknown, err
		}
		if e.Ends(b.Issuer, b.Identity) {
			t.exec(`delete from {}browser_sessions where id = $1`, key(h))
		}
	}
	ending, err := t.pending(flows, e.Issuer, e.Now, func(f storage.Flow) bool { return e.Ends(f.Issuer, f.Identity) })
	if err != nil {
		return rev, storage.Unknown, err
	}
	if err := endFlows(t, ending, e.Now); err != nil {
		return rev, storage.Unknown, err
	}
	if len(found) == 0 {
		return rev, storage.OK, nil
	}
	t.tell(storage.Change{Kind: storage.PersonChanged, Issuer: e.Issuer, Subject: e.Subject})
	if e.Session == "" {
		t.exec(`delete from {}persons where id = $1`, subject)
	} else {
		err = putPerson(t, e.Mark(p))
	}
	return rev, storage.OK, err
}

// revokeGrantsOf revokes those of the grants, which are locked, that end.
func revokeGrantsOf(t *tx, grants [][]byte, e storage.PersonEnd) (all storage.Revocation, err error) {
	for _, b := range grants {
		g, _, err := t.grant(b)
		if err != nil {
			return all, err
		}
		if !e.Ends(g.Issuer, g.Identity) {
			continue
		}
		rev := revoke(t, g, e.Now)
		all.GrantIDs = append(all.GrantIDs, rev.GrantIDs...)
		all.AccessTokens = append(all.AccessTokens, rev.AccessTokens...)
	}
	return all, nil
}

// tellPerson tells others unless the person is the same, and the same is said of them.
func tellPerson(t *tx, before, now storage.Person) {
	was, _ := json.Marshal(before.Claims)
	is, _ := json.Marshal(now.Claims) // what cannot be written is refused by who stores it
	if before.ID != now.ID || !bytes.Equal(was, is) {
		t.tell(storage.Change{Kind: storage.PersonChanged, Issuer: now.Issuer, Subject: now.Subject})
	}
}

func lockPerson(t *tx, issuer, subject string) (storage.Person, bool, error) {
	var b []byte
	t.query(one(&b), `select body from {}persons where id = $1 for update`, record.Digest(issuer, subject))
	if err := t.send(); err != nil {
		return storage.Person{}, false, err
	}
	return t.person(b, issuer, subject)
}

func putPerson(t *tx, p storage.Person) error {
	b, err := encode(t.db, p, personTimes)
	var due any // null for never
	if !p.DueAt.IsZero() {
		due = t.nanos(p.DueAt)
	}
	t.exec(`insert into {}persons (id, issuer, due_at, keep_until, body) values ($1, $2, $3, $4, $5)
		on conflict (id) do update set issuer = excluded.issuer, due_at = excluded.due_at, keep_until = excluded.keep_until, body = excluded.body`,
		record.Digest(p.Issuer, p.Subject), record.Digest(p.Issuer), due, t.keep(p.ExpiresAt), b)
	return err
}

// personOf is the reference of a record to the person of its identity, if it has one.
func personOf(issuer string, id storage.Identity) []byte {
	if id.Person == "" {
		return nil
	}
	return record.Digest(issuer, id.Subject)
}

// fill gives an identity its claims. It reports false if its person is not there
// any more.
func (d *db) fill(issuer string, id *storage.Identity, person []byte, now time.Time) (bool, error) {
	if id.Person == "" {
		return true, nil
	}
	p, found, err := d.person(person, issuer, id.Subject)
	return found && p.Fill(id, now), err
}

// person returns the person that a body is of; false for an empty one.
func (d *db) person(body []byte, issuer, subject string) (storage.Person, bool, error) {
	if len(body) == 0 {
		return storage.Person{}, false, nil
	}
	p, found, err := decode(d, body, personTimes)
	if err == nil && (p.Issuer != issuer || p.Subject != subject) {
		err = record.ErrCorrupt // somebody moved the record
	}
	if err != nil {
		return storage.Person{}, false, err
	}
	return p, found, nil
}

// filledGrant is grant with the claims. A grant whose person is not there any more
// is absent.
func (d *db) filledGrant(o owned, now time.Time) (storage.Grant, bool, error) {
	g, found, err := d.grant(o.body)
	if err == nil && found {
		found, err = d.fill(g.Issuer, &g.Identity, o.person, now)
	}
	return g, found && err == nil, err
}

// filledFlow is liveFlow with the claims. A flow whose person is not there any more
// is absent.
func (d *db) filledFlow(o owned, now time.Time) (storage.Flow, bool, error) {
	f, found, err := d.liveFlow(o.body, now)
	if err == nil && found {
		found, err = d.fill(f.Issuer, &f.Identity, o.person, now)
	}
	return f, found && err == nil, err
}

// filledSession is session with the claims. One whose person is not there any more
// is absent.
func (d *db) filledSession(h storage.Hash, o owned, now time.Time) (storage.BrowserSession, bool, error) {
	b, found, err := d.session(h, o.body)
	if err == nil && found {
		found, err = d.fill(b.Issuer, &b.Identity, o.person, now)
	}
	return b, found && err == nil, err
}
