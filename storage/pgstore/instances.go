package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// microseconds is what the database's clock shows.
const microseconds = `(extract(epoch from clock_timestamp()) * 1000000)::bigint`

type instanceStore struct{ *db }

var (
	_ storage.InstanceStore = (*Store)(nil)
	_ storage.RateStore     = (*Store)(nil)
)

// AnnounceInstance implements storage.InstanceStore. It is sent every few seconds, so
// a lost answer needs no attempt: the same is said again.
func (s *instanceStore) AnnounceInstance(ctx context.Context, i storage.Instance, within time.Duration) ([]storage.Instance, error) {
	began := time.Now()
	var all []storage.Instance
	err := s.retry(ctx, func(ctx context.Context) error {
		all = nil
		batch := new(pgx.Batch)
		batch.Queue(s.sql(`insert into {}instances as i (id, started_at, seen_at, clock_ahead, about)
			select $1, now, now, $2, $3 from (select `+microseconds+` as now) clock
			on conflict (id) do update set seen_at = excluded.seen_at, clock_ahead = excluded.clock_ahead, about = excluded.about`),
			[]byte(i.ID), -int64(s.clock.offset()), append([]byte{}, i.About...))
		batch.Queue(s.sql(`delete from {}instances where id in (
			select id from {}instances where seen_at < `+microseconds+` - $1::bigint for update skip locked)`), within.Microseconds())
		batch.Queue(s.sql(`select id, started_at, seen_at, clock_ahead, about from {}instances
			where seen_at >= `+microseconds+` - $1::bigint order by id`), within.Microseconds()).Query(func(rows pgx.Rows) (err error) {
			all, err = instances(rows)
			return err
		})
		return s.pool.SendBatch(ctx, batch).Close()
	})
	s.observe.Observe(true, began, err)
	return all, err
}

// instances reads rows. Their times are of the database's clock, as they are: that of
// this process may be wrong.
func instances(rows pgx.Rows) (all []storage.Instance, err error) {
	for rows.Next() {
		var i storage.Instance
		var id []byte
		var started, seen, ahead int64
		if err := rows.Scan(&id, &started, &seen, &ahead, &i.About); err != nil {
			return nil, err
		}
		i.ID, i.ClockAhead = string(id), time.Duration(ahead)
		i.StartedAt, i.SeenAt = time.UnixMicro(started).UTC(), time.UnixMicro(seen).UTC()
		all = append(all, i)
	}
	return all, rows.Err()
}

// LeaveInstance implements storage.InstanceStore.
func (s *instanceStore) LeaveInstance(ctx context.Context, id string) error {
	began := time.Now()
	err := s.retry(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, s.sql(`delete from {}instances where id = $1`), []byte(id))
		return err
	})
	s.observe.Observe(true, began, err)
	return err
}

type rateStore struct {
	*db
	// clock is the database's, in microseconds, as SQL.
	clock string
}

// errSwept: what was to be locked has just been removed, as its time was over.
var errSwept = errors.New("storage: the rate was swept")

// TakeRates implements storage.RateStore, by the generic cell rate algorithm: each
// event moves the time until which the rate is used up by the time in which there is
// one event, and may move it no further ahead than the events of a minute.
//
// The rows are made, and locked in the order of their keys, before anything is
// decided by them; all is one round trip. A lost answer counts one event twice at
// most.
func (s *rateStore) TakeRates(ctx context.Context, rates []storage.Rate) (taken bool, err error) {
	keys, costs, room := make([][]byte, len(rates)), make([]int64, len(rates)), make([]int64, len(rates))
	for i, r := range rates {
		if r.PerMinute < 1 {
			return false, errors.New("storage: a rate needs at least one event per minute")
		}
		keys[i], costs[i] = key(r.Key), max(1, time.Minute.Microseconds()/int64(r.PerMinute))
		room[i] = costs[i] * int64(r.PerMinute)
	}
	began := time.Now()
	err = s.retry(ctx, func(ctx context.Context) error {
		taken, err = s.take(ctx, keys, costs, room)
		return err
	})
	s.observe.Observe(true, began, err)
	return taken, err
}

func (s *rateStore) take(ctx context.Context, keys [][]byte, costs, room []int64) (taken bool, err error) {
	var held, moved int
	batch := new(pgx.Batch)
	batch.Queue("begin isolation level read committed")
	batch.Queue(s.sql(`insert into {}rates (id, used_until) select id, 0 from unnest($1::bytea[]) id order by id
		on conflict (id) do nothing`), keys)
	batch.Queue(s.sql(`with held as materialized (
			select id, used_until from {}rates where id = any($1::bytea[]) order by id for update
		), next as materialized (
			select h.id, greatest(h.used_until, clock.now) + r.cost as used_until, clock.now + r.room as bound
			from held h join unnest($1::bytea[], $2::bigint[], $3::bigint[]) as r (id, cost, room) on r.id = h.id,
				(select `+s.clock+` as now) clock
		), moved as (
			update {}rates as r set used_until = next.used_until from next
			where r.id = next.id and (select count(*) = $4 and bool_and(used_until <= bound) from next)
			returning 1
		) select (select count(*) from held), (select count(*) from moved)`), keys, costs, room, len(keys)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&held, &moved) })
	batch.Queue("commit")
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return false, err
	}
	if held < len(keys) {
		return false, errSwept
	}
	return moved == len(keys), nil
}

// rateSweepBatch is sweepBatch for rates, which are small and many.
const rateSweepBatch = 4096

// sweep removes the rates of which nothing is used up any more. It goes on from where
// the last batch ended, as the sweep of records does.
func (s *rateStore) sweep(ctx context.Context) error {
	for from, removed := int64(0), rateSweepBatch; removed == rateSweepBatch; {
		err := s.retry(ctx, func(ctx context.Context) error {
			return s.pool.QueryRow(ctx, s.sql(`with ended as (
					delete from {}rates where id in (select id from {}rates where used_until between $1 and `+microseconds+`
						order by used_until limit $2 for update skip locked) returning used_until
				) select count(*), coalesce(max(used_until), 0)::bigint from ended`), from, rateSweepBatch).Scan(&removed, &from)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
