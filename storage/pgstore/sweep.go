package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
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
	removed := 0
	for {
		round, err := update(ctx, s.db, func(t *tx) (sweepRound, error) { return t.sweep(now) })
		removed += round.removed
		if err != nil || !round.more {
			return removed, err
		}
	}
}

// sweepRound is what one transaction removed, and whether there may be more.
type sweepRound struct {
	removed int
	more    bool
}

// sweep removes what ended. A connection may have to be revoked at its provider.
func (t *tx) sweep(now time.Time) (round sweepRound, err error) {
	at := now
	t.clock.toDatabase(&at)
	var connections [][]byte
	t.query(many(&connections), `delete from {}connections where (issuer, owner, server) in (
		select issuer, owner, server from {}connections where keep_until <= $1
		order by keep_until limit $2 for update skip locked) returning body`, at.Unix(), sweepBatch)
	for _, table := range recordTables {
		if table != "connections" {
			t.sweepTable(table, at.Unix(), func(n int) { round.count(n) })
		}
	}
	housekeeping := false
	for _, table := range []string{"attempts", "locks"} {
		t.sweepTable(table, t.soon(0)-1, func(n int) {
			housekeeping = housekeeping || n > 0
			round.more = round.more || n == sweepBatch
		})
	}
	if err := t.send(); err != nil {
		return round, err
	}
	round.count(len(connections))
	for _, b := range connections {
		if c, _, err := decode(t.db, b, connectionTimes); err == nil { // a corrupt one must not stop the sweep
			if err := t.queueExpired(c, now); err != nil {
				return round, err
			}
		}
	}
	t.writes = round.removed > 0 || housekeeping
	return round, nil
}

func (r *sweepRound) count(n int) {
	r.removed += n
	r.more = r.more || n == sweepBatch
}

// sweepTable queues the removal of records of one kind.
func (t *tx) sweepTable(table string, at int64, removed func(int)) {
	id := "id"
	switch table {
	case "access_tokens", "refresh_tokens", "replays", "codes", "used_values", "connect_states":
		id = "hash"
	}
	t.exec(`delete from {}`+table+` where `+id+` in (
		select `+id+` from {}`+table+` where keep_until <= $1 order by keep_until limit $2 for update skip locked)`, at, sweepBatch)
	t.batch.QueuedQueries[len(t.batch.QueuedQueries)-1].Exec(func(tag pgconn.CommandTag) error {
		removed(int(tag.RowsAffected()))
		return nil
	})
}
