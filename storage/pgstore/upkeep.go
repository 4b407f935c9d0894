package pgstore

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/restored"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// sweepBatch bounds how many records of a kind one transaction removes, and so
// how long another caller waits for it.
const sweepBatch = 256

// Sweep implements storage.Store. Several instances share the work: what another
// is removing, or somebody is renewing, is left to them.
func (s *Store) Sweep(ctx context.Context, now time.Time) (int, error) {
	if err := s.db.measure(ctx); err != nil {
		return 0, err
	}
	at := now
	s.db.clock.ToDatabase(&at)
	var left []*swept
	for _, table := range endingTables {
		left = append(left, &swept{table: table, from: math.MinInt64, upTo: at.Unix(), records: true})
	}
	for _, table := range ownTables {
		left = append(left, &swept{table: table, upTo: int64(record.Until(s.db.now().Add(s.db.clock.Offset()))) - 1})
	}
	removed := 0
	for len(left) > 0 {
		round, err := update(ctx, s.db, func(t *tx) (int, error) { return sweep(t, left, now) })
		if err != nil {
			return removed, err
		}
		removed += round
		for _, table := range left {
			table.from = table.last
		}
		left = slices.DeleteFunc(left, func(s *swept) bool { return s.removed < sweepBatch })
	}
	return removed, s.Rates.Sweep(ctx)
}

// swept is how far the sweep of a table is.
type swept struct {
	table   string
	records bool // that verbs were told of
	// What ended within is looked for. Each transaction begins where the last one
	// was: the index still has what those before removed, and to pass over all of it
	// each time would take longer the more there is.
	from, upTo int64
	last       int64 // when what was removed last had ended
	removed    int   // in one transaction
}

// sweep removes a batch of what ended from each table, and returns how many records
// that were. A connection may have to be revoked at its provider. What is picked is
// materialized: some plans would pick again for each row, and remove more, or fewer.
func sweep(t *tx, tables []*swept, now time.Time) (removed int, err error) {
	var connections [][]byte
	for _, s := range tables {
		s.last, s.removed = s.from, 0 // the transaction may run again
		id, body, more := "id", "", ""
		switch s.table {
		case "changes":
			// The newest of those that are over tells where a watch begins.
			id, more = "number", "and number < (select max(number) from {}changes where keep_until <= $2)"
		case "access_tokens", "refresh_tokens", "replays", "codes", "used_values", "connect_states":
			id = "hash"
		case "connections":
			id, body = "issuer, owner, server", ", body"
		}
		t.query(func(rows pgx.Rows) error {
			for rows.Next() {
				var end int64
				to := []any{&end}
				if body != "" {
					connections = append(connections, nil)
					to = append(to, &connections[len(connections)-1])
				}
				if err := rows.Scan(to...); err != nil {
					return err
				}
				s.last = max(s.last, end)
				s.removed++
			}
			return rows.Err()
		}, fmt.Sprintf(`with ended as materialized (select %[2]s from {}%[1]s where keep_until between $1 and $2 %[5]s
				order by keep_until limit %[3]d for update skip locked)
			delete from {}%[1]s where (%[2]s) in (select %[2]s from ended) returning keep_until%[4]s`, s.table, id, sweepBatch, body, more), s.from, s.upTo)
	}
	if err := t.send(); err != nil {
		return 0, err
	}
	for _, s := range tables {
		t.writes = t.writes || s.removed > 0
		if s.records {
			removed += s.removed
		}
	}
	for _, b := range connections {
		if c, _, err := decode(t.db, b, connectionTimes); err == nil { // a corrupt one must not stop the sweep
			if err := queueExpired(t, c, now); err != nil {
				return 0, err
			}
		}
	}
	return removed, nil
}

// EndSignIns implements storage.SignInEnder.
func (s *Store) EndSignIns(ctx context.Context, _ time.Time) (ended storage.Ended, err error) {
	err = pgx.BeginFunc(ctx, s.db.pool, func(tx pgx.Tx) error {
		ended, err = restored.EndSignIns(ctx, tx, s.db.sql)
		return err
	})
	return ended, err
}

var _ storage.SignInEnder = (*Store)(nil)

// sealedTable is a table whose records hold something sealed. Its id is one value,
// also where the key has several columns.
type sealedTable struct {
	name, id string
	key      string // the columns, which have an index
	parts    string // makes them of an id, for which %s stands
	record   func(id []byte) any
}

var sealedTables = []sealedTable{
	{
		"connections", "issuer || owner || server", "issuer, owner, server",
		"substring(%[1]s from 1 for 16), substring(%[1]s from 17 for 16), substring(%[1]s from 33)",
		func([]byte) any { return new(storage.Connection) },
	},
	{"upstream_clients", "id", "id", "%s", func([]byte) any { return new(storage.UpstreamClient) }},
	{"revocations", "id", "id", "%s", func([]byte) any { return new(storage.ProviderRevocation) }},
	{"persons", "id", "id", "%s", func([]byte) any { return new(storage.Person) }},
	{"connect_states", "hash", "hash", "%s", func(id []byte) any {
		if len(id) != len(storage.Hash{}) {
			return nil
		}
		return &storage.ConnectState{Hash: storage.Hash(id)}
	}},
	{"site_values", "id", "id", "%s", func([]byte) any { return new(storage.SiteValue) }},
}

// of makes what the key is compared with of an expression.
func (t sealedTable) of(id string) string { return fmt.Sprintf(t.parts, id) }

// errPosition: whoever asks to go on did not get the place from here.
var errPosition = errors.New("storage: no such place to go on from")

// ReplaceSealed implements storage.SealedStore. What another caller is changing is
// left out.
func (s *sealedStore) ReplaceSealed(ctx context.Context, after string, limit int, fn func(storage.SealedValue) []byte) (string, error) {
	name, behind, _ := strings.Cut(after, " ")
	at := 0
	if after != "" {
		at = slices.IndexFunc(sealedTables, func(t sealedTable) bool { return t.name == name })
	}
	id, err := hex.DecodeString(behind)
	if at < 0 || err != nil {
		return "", errPosition
	}
	for ; at < len(sealedTables); at, id = at+1, []byte{} {
		table := sealedTables[at]
		page, err := view(ctx, s.db, rowsOf, `select `+table.id+`, body from {}`+table.name+
			` where (`+table.key+`) > (`+table.of("$1::bytea")+`) order by `+table.key+` limit $2`, id, limit)
		if err != nil {
			return "", err
		}
		if err := s.replaceSealed(ctx, table, page, fn); err != nil {
			return "", err
		}
		if len(page) == limit {
			return table.name + " " + hex.EncodeToString(page[limit-1].id), nil
		}
		if limit -= len(page); at+1 < len(sealedTables) && limit < 1 {
			return sealedTables[at+1].name + " ", nil
		}
	}
	return "", nil
}

// row is a record with its id.
type row struct{ id, body []byte }

func rowsOf(rows pgx.Rows) (all []row, err error) {
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (row, error) {
		var one row
		err := r.Scan(&one.id, &one.body)
		return one, err
	})
}

// replaceSealed stores those records of a page that fn changes.
func (s *sealedStore) replaceSealed(ctx context.Context, table sealedTable, page []row, fn func(storage.SealedValue) []byte) error {
	var due [][]byte
	for _, r := range page {
		if _, changed := withoutOldSeal(table, r, fn); changed {
			due = append(due, r.id)
		}
	}
	if len(due) == 0 {
		return nil
	}
	return change(ctx, s.db, func(t *tx) error {
		var locked []row
		t.query(func(rows pgx.Rows) (err error) {
			locked, err = rowsOf(rows)
			return err
		}, `select `+table.id+`, body from {}`+table.name+
			` where (`+table.key+`) in (select `+table.of("due")+` from unnest($1::bytea[]) due) for update skip locked`, due)
		if err := t.send(); err != nil {
			return err
		}
		for _, r := range locked {
			if next, changed := withoutOldSeal(table, r, fn); changed {
				t.exec(`update {}`+table.name+` set body = $2 where (`+table.key+`) = (`+table.of("$1::bytea")+`)`, r.id, next)
			}
		}
		return nil
	})
}

// withoutOldSeal returns a record as fn wants it. Its times stay the database's.
// One that cannot be read is left as it is.
func withoutOldSeal(table sealedTable, r row, fn func(storage.SealedValue) []byte) (next []byte, changed bool) {
	rec := table.record(r.id)
	if rec == nil || json.Unmarshal(r.body, rec) != nil || !sealed.Replace(rec, fn) {
		return nil, false
	}
	next, err := json.Marshal(rec)
	return next, err == nil
}
