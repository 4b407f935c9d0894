//go:build postgres

package pgstore

import (
	"context"
	"encoding/binary"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/database"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/simulation"
)

var (
	schedules = flag.Int("schedules", 300, "how many schedules to run")
	firstSeed = flag.Uint64("seed", 1, "that of the first schedule")
)

// simulated is a database whose clock is set by the schedule.
type simulated struct {
	schema string
	admin  *pgx.Conn
	empty  string
}

// simulate makes a schema, and a function in the place of the database's clock.
func simulate(t *testing.T) *simulated {
	t.Helper()
	s, schema, _ := openSchema(t, make(chan string, 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.Connect(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	sql(t, strings.ReplaceAll(`create schema @_clock; create table @_clock.now (at timestamptz); insert into @_clock.now values (null);
		create function @_clock.clock_timestamp() returns timestamptz language sql volatile as 'select at from @_clock.now'`, "@", schema))
	out := &simulated{schema: schema, admin: admin}
	for _, table := range append([]string{"attempts", "locks"}, recordTables...) {
		out.empty += "delete from " + schema + "." + table + ";"
	}
	return out
}

func (d *simulated) system() (simulation.System, error) {
	ctx := context.Background()
	if _, err := d.admin.Exec(ctx, d.empty); err != nil {
		return simulation.System{}, err
	}
	return simulation.System{
		Shared: true, Durable: true, Skew: 10 * time.Minute, Open: d.open,
		Time: func(now time.Time) error {
			_, err := d.admin.Exec(ctx, "update "+d.schema+"_clock.now set at = $1", now)
			return err
		},
		Network: &simulation.Network{IsRequest: isRequest, Sessions: d.sessions},
	}, nil
}

func (d *simulated) open(i simulation.Instance) (storage.Store, error) {
	c, err := Parse(Options{DSN: server.DSN(), Schema: d.schema, MaxConnections: 4})
	if err != nil {
		return nil, err
	}
	c.now, c.database.Still = i.Now, true
	c.pool.ConnConfig.DialFunc = i.Link.Dial
	c.pool.ConnConfig.RuntimeParams["search_path"] = d.schema + "_clock,pg_catalog"
	c.pool.ConnConfig.RuntimeParams["deadlock_timeout"] = "20ms"
	c.pool.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		err := database.Prepare(ctx, conn)
		i.Link.Hold(conn.PgConn().Conn(), conn.PgConn().PID())
		return err
	}
	return Open(context.Background(), c)
}

// isRequest reports whether statements are to run, and not only to be prepared.
func isRequest(b []byte) bool {
	for len(b) >= 5 {
		if b[0] == 'B' || b[0] == 'Q' {
			return true
		}
		size := 1 + int(binary.BigEndian.Uint32(b[1:]))
		if size > len(b) {
			return false
		}
		b = b[size:]
	}
	return false
}

func (d *simulated) sessions(ids []uint32) (there, waiting []uint32, err error) {
	rows, err := d.admin.Query(context.Background(), `select pid, exists (select 1 from pg_locks l where l.pid = a.pid and not granted)
		from pg_stat_activity a where pid = any($1)`, ids)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id uint32
		var blocked bool
		if err := rows.Scan(&id, &blocked); err != nil {
			return nil, nil, err
		}
		there = append(there, id)
		if blocked {
			waiting = append(waiting, id)
		}
	}
	return there, waiting, rows.Err()
}

// Between the requests of one verb come those of others; requests, answers and
// connections get lost, requests arrive late, processes crash, and clocks are up to
// ten minutes apart. -schedules 10000 is the long form.
func TestSchedules_B09_D13(t *testing.T) {
	d := simulate(t)
	simulation.Run(t, simulation.Options{Schedules: *schedules, Seed: *firstSeed, Steps: 150}, d.system)
}

// A seed says which request has its turn when.
func TestSameSeedSameSchedule(t *testing.T) {
	d := simulate(t)
	for seed := range uint64(10) {
		var hashes []string
		for range 2 {
			r, err := simulation.One(seed, simulation.Options{Steps: 150}, d.system)
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, r.Hash)
		}
		if hashes[0] != hashes[1] {
			t.Errorf("seed %d: history %s, and then %s", seed, hashes[0], hashes[1])
		}
	}
}
