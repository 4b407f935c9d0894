//go:build postgres

package pgstore

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

func openAt(t *testing.T, o Options) *Store {
	t.Helper()
	c, err := Parse(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), c)
	oauthtest.Closing(t, s, err)
	return s
}

// reached notes what a store says of its database.
type reached struct {
	mu   sync.Mutex
	told []string
}

func (r *reached) tell(cause error, lasted time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	word := "back"
	if cause != nil {
		word = "away"
	}
	r.told = append(r.told, word)
}

func (r *reached) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

// A database that hangs, or refuses, is noticed within seconds; from then on verbs
// fail at once, and the store goes on soon after it is back. Each is told once.
func TestAway_E16(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{Addresses: []string{"127.0.0.1"}, TLS: true})
	s := openAt(t, Options{DSN: server.TCP("postgres"), StaleFor: 7 * time.Second})
	var told reached
	s.OnReach(told.tell)
	verb := func() (time.Duration, error) {
		began := time.Now()
		_, err := s.Empty(context.Background())
		return time.Since(began), err
	}
	for _, outage := range []struct {
		name        string
		begin, over func() error
	}{
		{"it hangs", server.Pause, server.Continue},
		{"it is killed", server.Kill, server.Run},
		{"it is stopped", server.Stop, server.Run},
	} {
		t.Run(outage.name, func(t *testing.T) {
			before := len(told.all())
			if _, err := verb(); err != nil {
				t.Fatal(err)
			}
			if err := outage.begin(); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var all sync.WaitGroup
			for range 40 { // more than there are connections
				all.Go(func() {
					if _, err := verb(); storage.StaleFor(err) != 7*time.Second {
						t.Errorf("%v; want a store that cannot be reached", err)
					}
				})
			}
			all.Wait()
			noticed := time.Since(began)
			for range 100 {
				if took, err := verb(); storage.StaleFor(err) != 7*time.Second || took > time.Second {
					t.Fatalf("%v after %v; want a failure at once", err, took)
				}
			}
			if err := outage.over(); err != nil {
				t.Fatal(err)
			}
			began = time.Now()
			for {
				took, err := verb()
				if err == nil {
					break
				}
				if time.Since(began) > 10*time.Second {
					t.Fatalf("not back: %v after %v", err, took)
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Logf("noticed within %v, back after %v", noticed, time.Since(began))
			if noticed > 8*time.Second {
				t.Errorf("noticed after %v", noticed)
			}
			if got := told.all()[before:]; !slices.Equal(got, []string{"away", "back"}) {
				t.Errorf("told %v", got)
			}
		})
	}
}

// A synchronous standby takes over under load: what was acknowledged is there, and
// was acknowledged once.
func TestFailover_D14(t *testing.T) {
	primary := pgtest.For(t, pgtest.Options{})
	standby, err := primary.Standby(pgtest.Options{})
	oauthtest.Closing(t, standby, err)
	if err := primary.WaitForStandby(); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, Options{DSN: fmt.Sprintf("host=%s,%s user=postgres dbname=postgres", primary.Dir(), standby.Dir())})
	now := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	acknowledged := map[storage.Hash]int{}
	var last atomic.Int64
	var racers sync.WaitGroup
	for racer := range 8 {
		racers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				value := storage.HashOf(fmt.Sprint("value ", i, racer/2)) // two want the same
				first, err := s.UseOnce(context.Background(), value, now.Add(time.Hour), now)
				switch {
				case err != nil:
					i-- // once more
					time.Sleep(10 * time.Millisecond)
				case first:
					mu.Lock()
					acknowledged[value]++
					mu.Unlock()
					last.Store(time.Now().UnixNano())
				}
			}
		})
	}
	time.Sleep(time.Second)
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	before := len(acknowledged)
	mu.Unlock()
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	promoted := time.Now()
	for last.Load() < promoted.UnixNano() {
		if time.Since(promoted) > 20*time.Second {
			t.Fatal("the standby is not found")
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("%d acknowledged before, the standby was found after %v", before, time.Since(promoted))
	time.Sleep(200 * time.Millisecond)
	cancel()
	racers.Wait()
	if before == 0 || len(acknowledged) <= before {
		t.Errorf("%d acknowledged before, %d in all", before, len(acknowledged))
	}
	for value, times := range acknowledged {
		if used, err := s.Used(t.Context(), value, now); times != 1 || err != nil || !used {
			t.Errorf("acknowledged %d times, used %t, %v", times, used, err)
		}
	}
}

var wholePooler = flag.Bool("pooler", false, "prove the store as a whole behind PgBouncer")

// Behind PgBouncer everything holds, whether it keeps a server for a client or for
// a transaction. It is noticed, and said once.
func TestPooler(t *testing.T) {
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			bouncer, err := server.Bouncer("127.0.0.1", mode)
			oauthtest.Closing(t, bouncer, err)
			var warnings []string
			dsn := bouncer.DSN()
			schema := server.Schema()
			s := openAt(t, Options{DSN: dsn, Schema: schema, Warn: func(text string) { warnings = append(warnings, text) }})
			if !s.db.database.Pooled() {
				t.Error("not noticed")
			}
			if n := len(slices.DeleteFunc(warnings, func(w string) bool { return !strings.Contains(w, "pooler") })); n != 1 {
				t.Errorf("said %d times: %q", n, warnings)
			}
			if direct := openAt(t, Options{DSN: server.DSN(), Schema: schema}); direct.db.database.Pooled() {
				t.Error("a pooler is seen where there is none")
			}
			storetest.Life(t, s, seal.Under)
			if mode != "transaction" || !*wholePooler {
				return
			}
			storetest.Run(t, func(t *testing.T) storage.Store {
				_, schema, _ := openSchema(t, schemas)
				return openAt(t, Options{DSN: dsn, Schema: schema})
			}, storetest.Shared(func(t *testing.T, s storage.Store) storage.Store {
				return openAt(t, Options{DSN: dsn, Schema: strings.Trim(s.(*Store).db.schema, `".`)})
			}))
		})
	}
}

// A pooler without transactions cannot be used.
func TestStatementPooler(t *testing.T) {
	bouncer, err := server.Bouncer("127.0.0.1", "statement")
	oauthtest.Closing(t, bouncer, err)
	wantRefused(t, Options{DSN: bouncer.DSN(), Schema: server.Schema()}, "set pool_mode = transaction there")
}

func wantRefused(t *testing.T, o Options, want string) {
	t.Helper()
	c, err := Parse(o)
	if err == nil {
		var s *Store
		if s, err = Open(t.Context(), c); err == nil {
			_ = s.Close()
		}
	}
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
		t.Errorf("%s: got\n%v\nwant\n%s", o.DSN, err, want)
	}
}

// Over a network the database proves who it is, and may ask the same of us. What
// is wrong is said with what to do.
func TestNetwork_M16(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{
		Addresses: []string{"127.0.0.1"}, TLS: true, Names: []string{"db.example.com", "127.0.0.1"},
		HBA: []string{"hostssl all visitor all cert", "hostssl all keyed all scram-sha-256", "hostssl all postgres all trust"},
	})
	for _, statement := range []string{
		"create role visitor login", "create role keyed login password 'first'", "create schema a authorization visitor", "create schema b authorization keyed",
	} {
		if err := server.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	strangers, err := pgtest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := server.Authority().Issue("visitor")
	if err != nil {
		t.Fatal(err)
	}
	cert := " sslcert=" + file("cert", certificate) + " sslkey=" + file("key", key)
	good := server.TCP("postgres")
	plain := pgtest.For(t, pgtest.Options{Addresses: []string{"127.0.0.1"}})
	for _, test := range []struct{ dsn, want string }{
		{strings.Replace(good, server.CA(), file("other", strangers.PEM), 1), "the certificate of 127.0.0.1 is not trusted; name the authority with sslrootcert=FILE"},
		{strings.Replace(good, "host=127.0.0.1", "host=localhost", 1), "is not trusted; name the authority with sslrootcert=FILE, and the host as in the certificate"},
		{strings.Replace(good, server.CA(), filepath.Join(dir, "none"), 1), "cannot read a file that the DSN names"},
		{strings.Replace(good, "verify-full", "disable", 1), "pg_hba.conf"},
		{server.TCP("visitor"), "check sslcert and sslkey in the DSN"},
		{server.TCP("keyed") + " password=canary", "check user and password"},
		{fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=verify-full sslrootcert=%s", plain.Port(), server.CA()), "offers no TLS"},
	} {
		wantRefused(t, Options{DSN: test.dsn}, test.want)
	}
	openAt(t, Options{DSN: server.TCP("visitor") + cert, Schema: "a"})
	url := fmt.Sprintf("postgres://keyed:first@127.0.0.1:%d/postgres?sslmode=verify-full&sslrootcert=%s", server.Port(), server.CA())
	password := atomic.Pointer[string]{}
	password.Store(&url)
	s := openAt(t, Options{DSN: url, Schema: "b", Renew: func() (string, error) { return *password.Load(), nil }})
	watch, err := s.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	listening := func() bool {
		n, err := server.Text("select count(*)::text from pg_stat_activity where usename = 'keyed' and query ilike 'listen%'")
		return err == nil && n == "1"
	}
	oauthtest.Eventually(t, "nobody listens", listening)
	// The password is changed there, and here without a restart.
	if err := server.Exec("alter role keyed password 'second'; select pg_terminate_backend(pid) from pg_stat_activity where usename = 'keyed'"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Empty(t.Context()); !storage.Unreachable(err) {
		t.Errorf("with the old password: %v", err)
	}
	second := strings.Replace(url, "first", "second", 1)
	password.Store(&second)
	oauthtest.Eventually(t, "the new password is not taken", func() bool {
		_, err := s.Empty(t.Context())
		return err == nil
	})
	oauthtest.Eventually(t, "nobody listens with the new password", listening)
}

// A replica is refused, and passed over where the primary is named too.
func TestReplica(t *testing.T) {
	primary := pgtest.For(t, pgtest.Options{})
	openAt(t, Options{DSN: primary.DSN()})
	replica, err := primary.Standby(pgtest.Options{})
	oauthtest.Closing(t, replica, err)
	wantRefused(t, Options{DSN: replica.DSN()}, "the database is a read-only replica")
	var warnings []string
	s := openAt(t, Options{
		DSN:  fmt.Sprintf("host=%s,%s user=postgres dbname=postgres", replica.Dir(), primary.Dir()),
		Warn: func(text string) { warnings = append(warnings, text) },
	})
	if _, err := s.UseOnce(t.Context(), storage.HashOf("v"), time.Now().Add(time.Hour), time.Now()); err != nil {
		t.Error(err)
	}
	all := strings.Join(warnings, "\n")
	for _, want := range []string{"no synchronous standby", "fsync off"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning of %s: %s", want, all)
		}
	}
}

// Schemas that are not ours, or not all there, are refused.
func TestWrongSchema(t *testing.T) {
	foreign, taken, half, unusable := server.Schema(), server.Schema(), server.Schema(), server.Schema()
	for _, schema := range []string{half, unusable} {
		if err := open(t, schema).Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, statement := range []string{
		"create schema " + foreign + "; create table " + foreign + ".version (major text)",
		"create schema " + taken + "; create table " + taken + ".grants (id int)",
		"drop table " + half + ".codes",
		"create role helper login; grant usage on schema " + unusable + " to helper; grant select on all tables in schema " + unusable + " to helper",
	} {
		sql(t, statement)
	}
	wantRefused(t, Options{DSN: server.DSN(), Schema: foreign}, `schema "`+foreign+`" has tables that are not of this program; name another one`)
	wantRefused(t, Options{DSN: server.DSN(), Schema: taken}, `schema "`+taken+`" has tables that are not of this program; name another one`)
	wantRefused(t, Options{DSN: server.DSN(), Schema: half}, `table codes of schema "`+half+`" is not there, though its version says so; restore a backup`)
	wantRefused(t, Options{DSN: strings.Replace(server.DSN(), "user=postgres", "user=helper", 1), Schema: unusable}, "may not be read and written by this user; GRANT")
}

// Serialization failures are tried again, up to five times; then the refresh token
// is as good as before.
func TestSerializationFailures_D14(t *testing.T) {
	s, schema, _ := openSchema(t, schemas)
	sql(t, strings.ReplaceAll(`create sequence @.failing; create function @.fail_some() returns trigger language plpgsql as $$ begin
			if nextval('@.failing') <= (select at from @.failures) then
				raise exception 'could not serialize access' using errcode = '40001';
			end if;
			return new;
		end $$; create table @.failures (at bigint); insert into @.failures values (0);
		create trigger fail_some before insert on @.used_values for each row execute function @.fail_some()`, "@", schema))
	t.Cleanup(func() {
		sql(t, strings.ReplaceAll(`drop trigger fail_some on @.used_values; drop function @.fail_some; drop table @.failures; drop sequence @.failing`, "@", schema))
	})
	now := time.Now()
	for failures, want := range map[int]bool{0: true, 3: true, 6: false} {
		sql(t, fmt.Sprintf("select setval('%s.failing', 1, false); update %s.failures set at = %d", schema, schema, failures))
		value := storage.HashOf(fmt.Sprint(failures))
		first, err := s.UseOnce(t.Context(), value, now.Add(time.Hour), now)
		if (err == nil) != want || first != want || storage.Unreachable(err) {
			t.Errorf("%d failures: first %t, %v; want %t", failures, first, err, want)
		}
		if used, err := s.Used(t.Context(), value, now); used != want || err != nil {
			t.Errorf("%d failures: used %t, %v; want %t", failures, used, err, want)
		}
	}
}

// Of several that start at once on an empty schema one migrates; one that is cut
// off in the middle leaves nothing.
func TestMigrateAtOnce_M10(t *testing.T) {
	schema := server.Schema()
	sql(t, `create function public.cut_off() returns event_trigger language plpgsql as $$ begin
		if exists (select 1 from pg_event_trigger_ddl_commands() where object_identity like '%.`+"grants"+`') then
			perform pg_terminate_backend(pg_backend_pid());
		end if; end $$; create event trigger cut_off on ddl_command_end execute function public.cut_off()`)
	c, err := Parse(Options{DSN: server.DSN(), Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), c); err == nil {
		_ = s.Close()
		t.Error("opened although every migration was cut off")
	}
	sql(t, "drop event trigger cut_off; drop function public.cut_off")
	if got, err := server.Text("select count(*)::text from information_schema.schemata where schema_name = '" + schema + "'"); got != "0" || err != nil {
		t.Errorf("%s schemas are left, %v", got, err)
	}
	var all sync.WaitGroup
	failures := make([]error, 4)
	for i := range failures {
		all.Go(func() {
			s, err := Open(t.Context(), c)
			if err == nil {
				err = s.Close()
			}
			failures[i] = err
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Error(err)
	}
}
