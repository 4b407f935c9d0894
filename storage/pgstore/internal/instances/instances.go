package instances

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Microseconds is what the database's clock shows.
const Microseconds = `(extract(epoch from clock_timestamp()) * 1000000)::bigint`

// Database is what the stores of this package work on.
type Database struct {
	Pool *pgxpool.Pool
	// SQL puts the schema in the place of each {}.
	SQL func(text string) string
	// Retry runs what may be run again.
	Retry func(context.Context, func(context.Context) error) error
	// Observe is told of each verb.
	Observe storage.Observer
	// Ahead is how far the database's clock is ahead.
	Ahead func() time.Duration
	// Usable is told from which version on programs can use the schema, and fails if
	// this one cannot.
	Usable func(from int) error
}

// Instances is a storage.InstanceStore.
type Instances struct{ Database }

var (
	_ storage.InstanceStore = Instances{}
	_ storage.RateStore     = (*Rates)(nil)
)

// AnnounceInstance implements storage.InstanceStore. It is sent every few seconds, so
// a lost answer needs no attempt: the same is said again. Whoever moves the schema away
// marks it and then looks who is at work: either sees the other.
func (s Instances) AnnounceInstance(ctx context.Context, i storage.Instance, within time.Duration) ([]storage.Instance, error) {
	began := time.Now()
	var all []storage.Instance
	usableFrom := 0
	err := s.Retry(ctx, func(ctx context.Context) error {
		all = nil
		batch := new(pgx.Batch)
		batch.Queue(s.SQL(`select usable_from from {}version for share`)).QueryRow(func(row pgx.Row) error { return row.Scan(&usableFrom) })
		batch.Queue(s.SQL(`insert into {}instances as i (id, started_at, seen_at, clock_ahead, about)
			select $1, now, now, $2, $3 from (select `+Microseconds+` as now) clock
			on conflict (id) do update set seen_at = excluded.seen_at, clock_ahead = excluded.clock_ahead, about = excluded.about`),
			[]byte(i.ID), -int64(s.Ahead()), append([]byte{}, i.About...))
		batch.Queue(s.SQL(`delete from {}instances where id in (
			select id from {}instances where seen_at < `+Microseconds+` - $1::bigint for update skip locked)`), within.Microseconds())
		batch.Queue(s.SQL(`select id, started_at, seen_at, clock_ahead, about from {}instances
			where seen_at >= `+Microseconds+` - $1::bigint order by id`), within.Microseconds()).Query(func(rows pgx.Rows) (err error) {
			all, err = instances(rows)
			return err
		})
		return s.Pool.SendBatch(ctx, batch).Close()
	})
	s.Observe.Observe(true, began, err)
	if err == nil {
		err = s.Usable(usableFrom)
	}
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
func (s Instances) LeaveInstance(ctx context.Context, id string) error {
	began := time.Now()
	err := s.Retry(ctx, func(ctx context.Context) error {
		_, err := s.Pool.Exec(ctx, s.SQL(`delete from {}instances where id = $1`), []byte(id))
		return err
	})
	s.Observe.Observe(true, began, err)
	return err
}
