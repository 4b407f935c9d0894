package instances

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Rates is a storage.RateStore.
type Rates struct {
	Database
	// Clock is the database's, in microseconds, as SQL.
	Clock string
}

// ErrSwept: what was to be locked has just been removed, as its time was over.
var ErrSwept = errors.New("storage: the rate was swept")

// TakeRates implements storage.RateStore, by the generic cell rate algorithm: each
// event moves the time until which the rate is used up by the time in which there is
// one event, and may move it no further ahead than the events of a minute.
//
// The rows are made, and locked in the order of their keys, before anything is
// decided by them; all is one round trip. A lost answer counts one event twice at
// most.
func (s *Rates) TakeRates(ctx context.Context, rates []storage.Rate) (taken bool, err error) {
	keys, costs, room := make([][]byte, len(rates)), make([]int64, len(rates)), make([]int64, len(rates))
	for i, r := range rates {
		if r.PerMinute < 1 {
			return false, errors.New("storage: a rate needs at least one event per minute")
		}
		keys[i], costs[i] = r.Key[:], max(1, time.Minute.Microseconds()/int64(r.PerMinute))
		room[i] = costs[i] * int64(r.PerMinute)
	}
	began := time.Now()
	err = s.Retry(ctx, func(ctx context.Context) error {
		taken, err = s.take(ctx, keys, costs, room)
		return err
	})
	s.Observe.Observe(true, began, err)
	return taken, err
}

func (s *Rates) take(ctx context.Context, keys [][]byte, costs, room []int64) (taken bool, err error) {
	var held, moved int
	batch := new(pgx.Batch)
	batch.Queue("begin isolation level read committed")
	batch.Queue(s.SQL(`insert into {}rates (id, used_until) select id, 0 from unnest($1::bytea[]) id order by id
		on conflict (id) do nothing`), keys)
	batch.Queue(s.SQL(`with held as materialized (
			select id, used_until from {}rates where id = any($1::bytea[]) order by id for update
		), next as materialized (
			select h.id, greatest(h.used_until, clock.now) + r.cost as used_until, clock.now + r.room as bound
			from held h join unnest($1::bytea[], $2::bigint[], $3::bigint[]) as r (id, cost, room) on r.id = h.id,
				(select `+s.Clock+` as now) clock
		), moved as (
			update {}rates as r set used_until = next.used_until from next
			where r.id = next.id and (select count(*) = $4 and bool_and(used_until <= bound) from next)
			returning 1
		) select (select count(*) from held), (select count(*) from moved)`), keys, costs, room, len(keys)).
		QueryRow(func(row pgx.Row) error { return row.Scan(&held, &moved) })
	batch.Queue("commit")
	if err := s.Pool.SendBatch(ctx, batch).Close(); err != nil {
		return false, err
	}
	if held < len(keys) {
		return false, ErrSwept
	}
	return moved == len(keys), nil
}

// rateSweepBatch is sweepBatch for rates, which are small and many.
const rateSweepBatch = 4096

// Sweep removes the rates of which nothing is used up any more. It goes on from where
// the last batch ended, as the sweep of records does.
func (s *Rates) Sweep(ctx context.Context) error {
	for from, removed := int64(0), rateSweepBatch; removed == rateSweepBatch; {
		err := s.Retry(ctx, func(ctx context.Context) error {
			return s.Pool.QueryRow(ctx, s.SQL(`with over as materialized (
					select id from {}rates where used_until between $1 and `+Microseconds+` order by used_until limit $2 for update skip locked
				), ended as (
					delete from {}rates where id in (select id from over) returning used_until
				) select count(*), coalesce(max(used_until), 0)::bigint from ended`), from, rateSweepBatch).Scan(&removed, &from)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
