package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/ahead"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

var _ storage.AheadReader = (*Store)(nil)

// ReadAhead implements storage.AheadReader: the statements of the verbs that will be
// called are sent together. The verbs are asked for them.
func (s *Store) ReadAhead(ctx context.Context, w storage.Wanted) {
	reads, q := ahead.Of(ctx), new(questions)
	asking, now := context.WithValue(ctx, questionsKey{}, q), time.Time{}
	none := storage.Hash{}
	if w.Client != "" {
		_, _ = s.Client(asking, w.Client, now)
	}
	if w.Flow != "" {
		_, _ = s.ConnectionsOf(asking, w.Issuer, storage.FlowOwner(w.Flow), now)
		if _, err := s.Flow(asking, w.Flow, now); errors.Is(err, errAsking) {
			s.personsConnections(reads, q, w)
			s.personsLastGrant(reads, q, w, `{}flows`, []byte(w.Flow))
		}
	}
	if w.Session != none {
		if _, err := s.BrowserSession(asking, w.Session, now); errors.Is(err, errAsking) {
			s.ofSession(reads, q, w)
			s.personsLastGrant(reads, q, w, `{}browser_sessions`, key(w.Session))
		}
	}
	if w.Code != none {
		_, _ = s.Code(asking, w.Code, now)
		s.grantOfCode(reads, q, w.Code)
	}
	if w.RefreshToken != none {
		_, _, _ = s.RefreshToken(asking, w.RefreshToken, now)
	}
	if w.AccessToken != none {
		_, _ = s.AccessToken(asking, w.AccessToken, now)
	}
	if w.Connection.Server != "" {
		if w.Connection.Owner != "" {
			_, _ = s.Connection(asking, w.Connection, now)
		}
		_, _ = s.UpstreamClients(asking, w.Connection.Issuer, now)
		if w.LastDisconnect && w.Connection.Owner != "" {
			_, _ = s.LastDisconnect(asking, w.Connection)
		}
	}
	if w.Once != none {
		_, _ = s.Used(asking, w.Once, now)
	}
	if len(*q) > 0 {
		readTogether(ctx, s.db, reads, *q)
	}
}

// personsConnections asks for what the person of a flow has connected.
func (s *Store) personsConnections(reads *ahead.Reads, q *questions, w storage.Wanted) {
	issuer := record.Digest(w.Issuer)
	q.ask(ownersConnections(reads, s.db, &issuer),
		`select $1::bytea, f.owner, c.body from {}flows f left join {}connections c on c.issuer = $1 and c.owner = f.owner where f.id = $2 and f.owner is not null`,
		issuer, []byte(w.Flow))
}

// personsLastGrant asks, if that is wanted, for the last grant of the person whose record
// in a table has the id.
func (s *Store) personsLastGrant(reads *ahead.Reads, q *questions, w storage.Wanted, table string, id []byte) {
	if w.LastGrantOf == "" {
		return
	}
	client := record.Digest(w.Issuer, w.LastGrantOf)
	q.ask(func(rows pgx.Rows) error {
		for rows.Next() {
			var subject []byte
			var o owned
			if err := rows.Scan(&subject, &o.body, &o.person); err != nil {
				return err
			}
			if subject != nil {
				reads.Put(s.db, spelt(lastGrantOf, subject, client), o, nil)
			}
		}
		return rows.Err()
	}, `select t.of_subject, g.body, p.body from `+table+` t left join lateral (
			select body, person from {}grants where of_subject = t.of_subject and of_client = $2
			order by substring(body from 1 for 12) desc, id desc limit 1
		) g on true left join {}persons p on p.id = g.person where t.id = $1`, id, client)
}

// ofSession asks for what the person of a browser session has connected, and for when
// they last disconnected what is wanted.
func (s *Store) ofSession(reads *ahead.Reads, q *questions, w storage.Wanted) {
	issuer, server := record.Digest(w.Issuer), record.Digest(w.Connection.Server)
	q.ask(ownersConnections(reads, s.db, &issuer),
		`select $1::bytea, b.owner, c.body from {}browser_sessions b left join {}connections c on c.issuer = $1 and c.owner = b.owner where b.id = $2 and b.owner is not null`,
		issuer, key(w.Session))
	if !w.LastDisconnect || w.Connection.Owner != "" {
		return
	}
	q.ask(func(rows pgx.Rows) error {
		for rows.Next() {
			var id []byte
			var number int64
			if err := rows.Scan(&id, &number); err != nil {
				return err
			}
			reads.Put(s.db, spelt(lastDisconnect, id), uint64(number), nil)
		}
		return rows.Err()
	}, `select $1::bytea || b.owner || $2::bytea, coalesce(d.number, 0) from {}browser_sessions b
		left join {}disconnects d on d.id = $1::bytea || b.owner || $2::bytea where b.id = $3 and b.owner is not null`,
		issuer, server, key(w.Session))
}

// grantOfCode asks for the grant that a code is of.
func (s *Store) grantOfCode(reads *ahead.Reads, q *questions, code storage.Hash) {
	q.ask(ownedByID(reads, s.db, grantByID),
		`select g.id, g.body, p.body from {}codes c join {}grants g on g.id = c.grant_id left join {}persons p on p.id = g.person where c.hash = $1`, key(code))
}

// readWithState reads, in the transaction that claims a connect request, what is asked
// for next: the flow that it is of with its client, what its owner has connected, and
// what we are at providers.
func readWithState(t *tx, state storage.Hash) {
	reads := ahead.Of(t.ctx)
	if reads == nil {
		return
	}
	var issuer []byte // as it was read
	var clients [][]byte
	t.query(ownedByID(reads, t.db, flowByID),
		`select s.flow, f.body, p.body from {}connect_states s left join {}flows f on f.id = s.flow left join {}persons p on p.id = f.person
		where s.hash = $1 and s.flow is not null`, key(state))
	t.query(func(rows pgx.Rows) error {
		for rows.Next() {
			var id, client []byte
			if err := rows.Scan(&id, &client); err != nil {
				return err
			}
			reads.Put(t.db, spelt(clientByID, id), client, nil)
		}
		return rows.Err()
	}, `select s.client, c.body from {}connect_states s left join {}clients c on c.id = s.client where s.hash = $1 and s.client is not null`, key(state))
	t.query(ownedByID(reads, t.db, sessionByID), `select s.session, b.body, p.body from {}connect_states s
		left join {}browser_sessions b on b.id = s.session left join {}persons p on p.id = b.person where s.hash = $1 and s.session is not null`, key(state))
	t.query(ownersConnections(reads, t.db, &issuer),
		`select s.issuer, s.owner, c.body from {}connect_states s left join {}connections c on c.issuer = s.issuer and c.owner = s.owner where s.hash = $1`, key(state))
	t.query(func(rows pgx.Rows) error {
		if err := many(&clients)(rows); err != nil || issuer == nil {
			return err
		}
		reads.Put(t.db, spelt(upstreamClientsOf, issuer), clients, nil)
		return nil
	}, `select u.body from {}connect_states s join {}upstream_clients u on u.issuer = s.issuer where s.hash = $1`, key(state))
}

// ownedByID takes records with their people for answers to a statement that asks for one
// by its id.
func ownedByID(reads *ahead.Reads, d *db, statement string) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			var id []byte
			var o owned
			if err := rows.Scan(&id, &o.body, &o.person); err != nil {
				return err
			}
			reads.Put(d, spelt(statement, id), o, nil)
		}
		return rows.Err()
	}
}

// ownersConnections takes rows of one owner, which say who that is and where, for what
// they have connected.
func ownersConnections(reads *ahead.Reads, d *db, issuer *[]byte) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var owner []byte
		var all [][]byte
		known := false
		for ; rows.Next(); known = true {
			var body []byte
			if err := rows.Scan(issuer, &owner, &body); err != nil {
				return err
			}
			if body != nil {
				all = append(all, body)
			}
		}
		if known {
			reads.Put(d, spelt(connectionsOfOwner, *issuer, owner), all, nil)
		}
		return rows.Err()
	}
}

// readTogether sends all questions in one round trip. What fails, fails for all of them.
func readTogether(ctx context.Context, d *db, reads *ahead.Reads, all questions) {
	began := time.Now()
	err := d.verb(ctx, func(ctx context.Context) error {
		batch := new(pgx.Batch)
		for _, q := range all {
			batch.Queue(d.sql(q.sql), q.args...).Query(q.scan)
		}
		return d.pool.SendBatch(ctx, batch).Close()
	})
	d.observe.Observe(false, began, err)
	if err != nil {
		for _, q := range all {
			reads.Put(d, spelt(q.sql, q.args...), nil, err)
		}
	}
}

// questions are what is to be asked for.
type questions []struct {
	scan func(pgx.Rows) error
	sql  string
	args []any
}

type questionsKey struct{}

func (q *questions) ask(scan func(pgx.Rows) error, sql string, args ...any) {
	*q = append(*q, struct {
		scan func(pgx.Rows) error
		sql  string
		args []any
	}{scan, sql, args})
}

// errAsking is what a verb fails with that was only to say what it asks for.
var errAsking = errors.New("storage: this is asked for later")

// known returns the answer of a statement that was read ahead, if it was.
func known[T any](ctx context.Context, d *db, sql string, args ...any) (out T, err error, is bool) {
	value, err, is := ahead.Of(ctx).Find(d, spelt(sql, args...))
	if !is || err != nil {
		return out, err, is
	}
	out, is = value.(T)
	return out, nil, is
}

// readAlready is view for what is known already. A verb that only says what it asks
// for is told errAsking.
func readAlready[T any](ctx context.Context, d *db, scan func(pgx.Rows) (T, error), sql string, args ...any) (out T, err error, is bool) {
	reads := ahead.Of(ctx)
	if reads == nil {
		return out, nil, false
	}
	if out, err, is = known[T](ctx, d, sql, args...); is {
		return out, err, true
	}
	q, asking := ctx.Value(questionsKey{}).(*questions)
	if !asking {
		return out, nil, false
	}
	q.ask(func(rows pgx.Rows) error {
		out, err := scan(rows)
		if err == nil {
			err = rows.Err()
		}
		if err == nil {
			reads.Put(d, spelt(sql, args...), out, nil)
		}
		return err
	}, sql, args...)
	return out, errAsking, true
}

// spelt tells one question from others.
func spelt(sql string, args ...any) string {
	var b strings.Builder
	b.WriteString(sql)
	for _, arg := range args {
		fmt.Fprintf(&b, "\x00%x", arg)
	}
	return b.String()
}
