//go:build postgres

package pgstore

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A check notices a database that can only be read, and when it can be written to again.
// Where changes are stored it makes none itself.
func TestCheckWrites_M12(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	s := openAt(t, Options{DSN: server.DSN(), Schema: "checked"})
	exec := func(sql string) {
		t.Helper()
		if err := server.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	use := func(value string) error {
		_, err := s.UseOnce(t.Context(), storage.HashOf(value), time.Now().Add(time.Hour), time.Now())
		return err
	}
	attempts := func() string {
		t.Helper()
		n, err := server.Text(`select count(*)::text from checked.attempts`)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	check := func(when string, trial bool, want string) {
		t.Helper()
		before := attempts()
		err := s.Check(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", when, err, want)
		}
		if got := attempts() != before; got != trial {
			t.Errorf("%s: made a change: %v, want %v", when, got, trial)
		}
	}
	check("when nothing was stored yet", true, "")
	check("right after that", false, "")

	// The disk has no room for a new page, but some pages have room.
	exec(`create function checked.full() returns trigger language plpgsql as $$ begin
		raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$`)
	exec(`create trigger full_instances before insert on checked.instances for each row when (length(new.about) > 8192) execute function checked.full()`)
	exec(`create trigger full_used before insert on checked.used_values for each row execute function checked.full()`)
	check("before anybody needs room", false, "")
	if err := use("a"); err == nil {
		t.Fatal("a verb on a full disk succeeded")
	}
	check("on a full disk", false, "can be read, but not written to: the disk of the database is full")
	exec(`drop trigger full_used on checked.used_values`)
	if err := use("a"); err != nil {
		t.Fatal(err)
	}
	check("when something small was stored all the same", false, "can be read, but not written to")
	exec(`drop trigger full_instances on checked.instances`)
	check("when there is room, and nobody stores anything", true, "")
	if n, err := server.Text(`select count(*)::text from checked.instances`); err != nil || n != "0" {
		t.Errorf("%s instances, %v; want what was tried to leave none", n, err)
	}

	exec(`alter system set default_transaction_read_only = on`)
	exec(`select pg_reload_conf()`)
	oauthtest.Eventually(t, "the database is read-only", func() bool { return s.Check(t.Context()) != nil })
	check("while it is read-only", false, "read-only")
}
