//go:build postgres

package pgstore

import (
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A commit whose session is ended while it waits for the standby is there, on the
// primary alone. It is not acknowledged before the standby has it, too, although the
// lookup of the lost answer finds it.
func TestUnreplicatedCommitIsNotAcknowledged_D14(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	s := openAt(t, Options{DSN: server.DSN()})
	standby := func(name string) {
		t.Helper()
		err := errors.Join(server.Exec("alter system set synchronous_standby_names = '"+name+"'"), server.Exec("select pg_reload_conf()"))
		if err != nil {
			t.Fatal(err)
		}
	}
	waits := func() string {
		t.Helper()
		pid, err := server.Text("select coalesce(max(pid), 0)::text from pg_stat_activity where wait_event = 'SyncRep'")
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	standby("nobody")
	// PostgreSQL takes the setting when it gets to it, so the first commits may not wait.
	var acknowledged atomic.Int64
	stop, stopped := make(chan struct{}), make(chan error, 1)
	now := time.Now()
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			first, err := s.UseOnce(t.Context(), storage.HashOf("v"+strconv.Itoa(i)), now.Add(time.Hour), now)
			if err == nil && !first {
				err = errors.New("somebody else used the value")
			}
			if err != nil {
				stopped <- err
				return
			}
			acknowledged.Add(1)
		}
	}()
	ended := "0"
	oauthtest.Eventually(t, "no commit waits", func() bool { ended = waits(); return ended != "0" })
	before := acknowledged.Load()
	if err := server.Exec("select pg_terminate_backend(" + ended + ")"); err != nil {
		t.Fatal(err)
	}
	oauthtest.Eventually(t, "the lookup does not wait", func() bool {
		pid := waits()
		return len(stopped) > 0 || acknowledged.Load() > before || pid != "0" && pid != ended
	})
	if after := acknowledged.Load(); after != before {
		t.Errorf("%d commits are acknowledged before the standby has them", after-before)
	}
	close(stop)
	standby("")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A commit waits for the disk and the standby, whatever the defaults of the role are;
// what waits for more stays.
func TestSynchronousCommit_D14(t *testing.T) {
	for set, want := range map[string]string{"off": "on", "local": "on", "on": "on", "remote_apply": "remote_apply"} {
		s := openAt(t, Options{DSN: server.DSN() + " synchronous_commit=" + set, Schema: server.Schema()})
		got, err := view(t.Context(), s.db, body, `select current_setting('synchronous_commit')::bytea`)
		if err != nil || string(got) != want {
			t.Errorf("of %s: %s, %v; want %s", set, got, err, want)
		}
	}
}
