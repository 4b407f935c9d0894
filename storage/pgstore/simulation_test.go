//go:build postgres

package pgstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/database"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/simulation"
)

var (
	schedules = flag.Int("schedules", usualSchedules, "how many schedules to run")
	firstSeed = flag.Uint64("seed", 1, "that of the first schedule")
)

// simulated is a database whose clock is set by the schedule.
type simulated struct {
	schema string
	admin  *pgx.Conn
	// kept are stores of earlier schedules, by instance, as if their processes had gone
	// on and somebody had emptied the database: a new session of PostgreSQL takes longer
	// than most schedules.
	kept map[int]*keptStore
	// mutate, unless nil, changes statements.
	mutate func(sql string) string
}

// simulate makes a schema, and functions in the place of the database's clock.
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
	d := &simulated{schema: schema, admin: admin, kept: map[int]*keptStore{}}
	t.Cleanup(func() {
		for _, k := range d.kept {
			if err := k.Store.Close(); err != nil {
				t.Error(err)
			}
		}
		_ = admin.Close(context.Background())
	})
	empty := ""
	for _, table := range slices.Concat(ownTables, []string{"instances", "rates"}, recordTables) {
		empty += "delete from " + schema + "." + table + ";"
	}
	sql(t, strings.ReplaceAll(`create schema @_clock; create table @_clock.now (at timestamptz); insert into @_clock.now values (null);
		create function @_clock.clock_timestamp() returns timestamptz language sql volatile as 'select at from @_clock.now';
		create function @_clock.empty() returns void language plpgsql as $$ begin `+empty+` end $$`, "@", schema))
	return d
}

func (d *simulated) system() (simulation.System, error) {
	ctx := context.Background()
	if _, err := d.admin.Exec(ctx, "select "+d.schema+"_clock.empty()"); err != nil {
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

// keptStore is a store that stays open when its schedule is over.
type keptStore struct {
	*Store
	of *simulated
	i  simulation.Instance
}

func (k *keptStore) Close() error {
	if k.i.Link.Crashed() || k.db.pool.Stat().AcquiredConns() > 0 {
		return k.Store.Close()
	}
	k.of.kept[k.i.Number] = k
	return nil
}

func (d *simulated) open(i simulation.Instance) (storage.Store, error) {
	if k := d.kept[i.Number]; k != nil {
		delete(d.kept, i.Number)
		i.Link.Adopt(k.i.Link)
		k.i = i
		return k, k.Check(context.Background()) // which measures the clocks
	}
	c, err := Parse(Options{DSN: server.DSN(), Schema: d.schema, MaxConnections: 4})
	if err != nil {
		return nil, err
	}
	k := &keptStore{of: d, i: i}
	c.now, c.database.Still = func() time.Time { return k.i.Now() }, true
	c.pool.HealthCheckPeriod = time.Hour
	c.pool.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := k.i.Link.Dial(ctx, network, address)
		if err == nil && d.mutate != nil {
			conn = mutating{conn, d.mutate}
		}
		return conn, err
	}
	c.pool.ConnConfig.RuntimeParams["search_path"] = d.schema + "_clock,pg_catalog"
	c.pool.ConnConfig.RuntimeParams["deadlock_timeout"] = "20ms"
	c.pool.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan" // planning takes longer than what is planned
	c.pool.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		err := database.Prepare(ctx, conn)
		held := conn.PgConn().Conn()
		if m, is := held.(mutating); is {
			held = m.Conn
		}
		k.i.Link.Hold(held, conn.PgConn().PID())
		return err
	}
	k.Store, err = Open(context.Background(), c)
	return k, err
}

// mutating is a connection that sends other statements than it is told to.
type mutating struct {
	net.Conn
	mutate func(sql string) string
}

func (c mutating) Write(b []byte) (int, error) {
	var out []byte
	for rest := b; len(rest) > 0; {
		if len(rest) < 5 || rest[0] == 0 { // it begins
			out = append(out, rest...)
			break
		}
		size := 1 + int(binary.BigEndian.Uint32(rest[1:]))
		out, rest = c.append(out, rest[:size]), rest[size:]
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// append appends a message, whose statement is mutated if it has one (Parse).
func (c mutating) append(to, message []byte) []byte {
	parts := bytes.SplitN(message[5:], []byte{0}, 3)
	if message[0] != 'P' || len(parts) < 3 {
		return append(to, message...)
	}
	parts[1] = []byte(c.mutate(string(parts[1])))
	body := bytes.Join(parts, []byte{0})
	return append(binary.BigEndian.AppendUint32(append(to, 'P'), uint32(4+len(body))), body...)
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

// sessions asks who blocks a session that waits: one that got its lock may still have to
// be woken.
func (d *simulated) sessions(ids []uint32) (there, waiting []uint32, err error) {
	rows, err := d.admin.Query(context.Background(), `select a.pid, a.wait_event_type is not distinct from 'Lock' and cardinality(pg_blocking_pids(id)) > 0
		from unnest($1::int[]) id, pg_stat_get_activity(id) a`, ids)
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
// ten minutes apart. -schedules 100000 is the long form.
func TestSchedules_B09_D13(t *testing.T) {
	const parallel = 4 // they wait for the database most of the time
	free := make(chan *simulated, parallel)
	for range parallel {
		free <- simulate(t)
	}
	simulation.Run(t, simulation.Options{Schedules: *schedules, Seed: *firstSeed, Steps: 150, Parallel: parallel}, func() (simulation.System, error) {
		d := <-free
		system, err := d.system()
		system.Close = func() error { free <- d; return nil }
		return system, err
	})
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
