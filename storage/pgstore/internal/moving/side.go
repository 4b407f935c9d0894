package moving

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
)

// Pool begins transactions, until it is closed.
type Pool interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	Close()
}

// Side is a move.Side in a schema.
type Side struct {
	Pool   Pool
	Schema string // not quoted
	// Ahead is how far the database's clock is ahead of ours, in whole seconds. What
	// stands in a mark comes before it: all batches of a move have the same.
	Ahead time.Duration
	// UsableFrom is what the schema has while no mark is on it.
	UsableFrom int
	// Retry runs what may be run again, and Explain says what to do about an error.
	Retry   func(context.Context, func(context.Context) error) error
	Explain func(error) error
}

var _ move.Side = (*Side)(nil)

func (s *Side) sql(text string) string { return qualified(s.Schema, text) }

func qualified(schema, text string) string {
	return strings.ReplaceAll(text, "{}", pgx.Identifier{schema}.Sanitize()+".")
}

// run runs fn in a transaction, and again if the connection is lost.
func (s *Side) run(ctx context.Context, fn func(context.Context, pgx.Tx) error) error {
	err := s.Retry(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error { return fn(ctx, tx) })
	})
	if err != nil {
		return s.Explain(err)
	}
	return nil
}

// Empty implements move.Side.
func (s *Side) Empty(ctx context.Context) (empty bool, err error) {
	sql := `select true`
	for name := range tables {
		sql += ` and not exists (select 1 from {}` + name + `)`
	}
	err = s.run(ctx, func(ctx context.Context, tx pgx.Tx) error { return tx.QueryRow(ctx, s.sql(sql)).Scan(&empty) })
	return empty, err
}

// Clear implements move.Side.
func (s *Side) Clear(ctx context.Context) error {
	return s.run(ctx, func(ctx context.Context, tx pgx.Tx) error {
		for name := range tables {
			if _, err := tx.Exec(ctx, s.sql(`truncate {}`+name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// seenWithin is how lately an instance was seen that is at work. One that was killed
// counts for as long.
const seenWithin = 30 * time.Second

// Busy implements move.Side.
func (s *Side) Busy(ctx context.Context) error {
	instances := 0
	err := s.run(ctx, func(ctx context.Context, tx pgx.Tx) error {
		there := false
		err := tx.QueryRow(ctx, `select exists (select 1 from information_schema.tables where table_schema = $1 and table_name = 'instances')`, s.Schema).Scan(&there)
		if err != nil || !there {
			return err
		}
		return tx.QueryRow(ctx, s.sql(`select count(*) from {}instances
			where seen_at > (extract(epoch from clock_timestamp()) * 1000000)::bigint - $1::bigint`), seenWithin.Microseconds()).Scan(&instances)
	})
	if err == nil && instances > 0 {
		err = fmt.Errorf("%d running Caddys work with schema %q; stop them first (one that was killed counts for %v), and run this again", instances, s.Schema, seenWithin)
	}
	return err
}

// Page implements move.Side.
func (s *Side) Page(ctx context.Context, kind record.Kind, after []byte, limit int) (page []record.Moved, next []byte, err error) {
	t, kept := tableOf(kind)
	err = s.run(ctx, func(ctx context.Context, tx pgx.Tx) error {
		page, next = nil, nil // it may run again
		ahead, err := s.ahead(ctx, tx)
		if err != nil {
			return err
		}
		if !kept {
			page, next, err = s.places(ctx, tx, kind, after, limit)
		} else {
			page, next, err = s.rows(ctx, tx, t, kind, after, limit, ahead)
		}
		if len(page) < limit {
			next = nil
		}
		return err
	})
	return page, next, err
}

func (s *Side) rows(ctx context.Context, tx pgx.Tx, t table, kind record.Kind, after []byte, limit int, ahead time.Duration) (page []record.Moved, next []byte, err error) {
	key := strings.Join(t.columns[:t.key], ", ")
	sql, args := `select `+strings.Join(t.columns[:t.key], " || ")+`, keep_until, `+t.body+` from {}`+t.name, []any{limit}
	if after != nil {
		parts := "$2::bytea"
		if t.key == 3 {
			parts = "substring($2::bytea from 1 for 16), substring($2::bytea from 17 for 16), substring($2::bytea from 33)"
		}
		sql, args = sql+` where (`+key+`) > (`+parts+`)`, append(args, after)
	}
	found, err := tx.Query(ctx, s.sql(sql+` order by `+key+` limit $1`), args...)
	if err != nil {
		return nil, nil, err
	}
	defer found.Close()
	for found.Next() {
		var id, body []byte
		var keep, number int64
		if t.body == "number" {
			err = found.Scan(&id, &keep, &number)
			n := record.Number(number)
			body, _ = kind.Write(&n)
		} else {
			err = found.Scan(&id, &keep, &body)
		}
		if err != nil {
			return nil, nil, err
		}
		m, err := t.read(kind, id, body, keep, ahead)
		if err != nil {
			return nil, nil, fmt.Errorf("a row of table %s cannot be read (key %s): %w", t.name, hex.EncodeToString(id), err)
		}
		page, next = append(page, m), id
	}
	return page, next, found.Err()
}

// read makes a record of a row, in our time.
func (t table) read(kind record.Kind, id, body []byte, keep int64, ahead time.Duration) (m record.Moved, err error) {
	m = record.Moved{Kind: kind, Keep: shifted(record.Keep(keep), -ahead)}
	if t.id {
		m.ID = id
	}
	if m.Value, err = kind.Read(m.ID, body); err != nil {
		return m, err
	}
	var of []byte
	for _, part := range t.values(m, place{})[:t.key] {
		of = append(of, part.([]byte)...)
	}
	if !bytes.Equal(of, id) {
		return m, record.ErrCorrupt // somebody moved the record
	}
	kind.Shift(m.Value, -ahead)
	return m, nil
}

// places is Page for places, by the records that wait.
func (s *Side) places(ctx context.Context, tx pgx.Tx, kind record.Kind, after []byte, limit int) (page []record.Moved, next []byte, err error) {
	name := queues[kind.Name]
	if name == "" {
		return nil, nil, fmt.Errorf("there is no table for %s", kind.Name)
	}
	code := "null::bytea"
	if name == "grants" {
		code = "code"
	}
	if after == nil {
		after = []byte{}
	}
	found, err := tx.Query(ctx, s.sql(`select id, queue_sender, queue_group, queued_at, `+code+` from {}`+name+`
		where queue_sender is not null and id > $1 order by id limit $2`), after, limit)
	if err != nil {
		return nil, nil, err
	}
	defer found.Close()
	for found.Next() {
		var p record.Place
		var id []byte
		if err := found.Scan(&id, &p.Sender, &p.Group, &p.At, &p.Code); err != nil {
			return nil, nil, err
		}
		p.ID = string(id)
		page, next = append(page, record.Moved{Kind: kind, Value: &p}), id
	}
	return page, next, found.Err()
}

// shifted moves until when a record is kept, unless that is for ever.
func shifted(k record.Keep, by time.Duration) record.Keep {
	if k == record.Forever {
		return k
	}
	return k + record.Keep(by/time.Second)
}

var errOther = errors.New("another migration fills this schema at the same time; run one of them")

// Write implements move.Side. When its answer is lost it runs again, and finds the mark
// as it shall be.
func (s *Side) Write(ctx context.Context, records []record.Moved, before, next move.Mark) error {
	var rows [][]any
	return s.run(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var text string
		var seconds int64
		err := tx.QueryRow(ctx, s.sql(`select mark, ahead from {}move for update`)).Scan(&text, &seconds)
		switch {
		case err != nil:
			return err
		case text == next.Text():
			return nil
		case text != before.Text():
			return errOther
		}
		if len(records) > 0 {
			if rows == nil { // once: it changes the records
				rows = rowsOf(records, time.Duration(seconds)*time.Second)
			}
			if err := s.insert(ctx, tx, records[0].Kind, rows); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, s.sql(`update {}move set mark = $1`), next.Text())
		return err
	})
}

// rowsOf returns what is written of records, in the database's time.
func rowsOf(records []record.Moved, ahead time.Duration) (rows [][]any) {
	for _, m := range records {
		t, kept := tableOf(m.Kind)
		if !kept {
			p := m.Value.(*record.Place)
			rows = append(rows, []any{[]byte(p.ID), p.Sender, p.Group, p.At, p.Code})
			continue
		}
		p := placeOf(m.Value)
		m.Kind.Shift(m.Value, ahead)
		var last any
		if n, isNumber := m.Value.(*record.Number); isNumber {
			last = int64(*n)
		} else {
			last, _ = m.Kind.Write(m.Value) // it was written before, to be counted
		}
		rows = append(rows, append(t.values(m, p), int64(shifted(m.Keep, ahead)), last))
	}
	return rows
}

func (s *Side) insert(ctx context.Context, tx pgx.Tx, kind record.Kind, rows [][]any) error {
	t, kept := tableOf(kind)
	if kept {
		columns := append(append([]string{}, t.columns...), "keep_until", t.body)
		_, err := tx.CopyFrom(ctx, pgx.Identifier{s.Schema, t.name}, columns, pgx.CopyFromRows(rows))
		return err
	}
	set, values := `queue_sender = $2, queue_group = $3, queued_at = $4`, 4
	if queues[kind.Name] == "grants" {
		set, values = set+`, code = $5`, 5
	}
	batch := new(pgx.Batch)
	for _, row := range rows {
		batch.Queue(s.sql(`update {}`+queues[kind.Name]+` set `+set+` where id = $1`), row[:values]...)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// Close implements move.Side.
func (s *Side) Close() error {
	s.Pool.Close()
	return nil
}
