//go:build postgres

package pgstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A store that is closed while its database hangs, is stopped or is cut off ends at
// once: watches, the connection that listens, what looks for the database, and verbs.
func TestClosedWhileAway_N02(t *testing.T) {
	for name, tt := range map[string]struct{ away, back func(*pgtest.Server) error }{
		"at work": {func(*pgtest.Server) error { return nil }, func(*pgtest.Server) error { return nil }},
		"hangs":   {(*pgtest.Server).Pause, (*pgtest.Server).Continue},
		"stopped": {(*pgtest.Server).Stop, (*pgtest.Server).Run},
	} {
		for _, noticed := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", just now", true: ", and that was noticed"}[noticed], func(t *testing.T) {
				server := pgtest.For(t, pgtest.Options{})
				before := goleak.IgnoreCurrent()
				c, err := Parse(Options{DSN: server.DSN()})
				if err != nil {
					t.Fatal(err)
				}
				s, err := Open(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				watch, err := s.Watch(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
					n, err := server.Text("select count(*)::text from pg_stat_activity where query like 'listen mcp_oauth%'")
					if err != nil || time.Now().After(deadline) {
						t.Fatalf("%s connections listen, %v", n, err)
					}
					if n == "1" {
						break
					}
				}
				if err := tt.away(server); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := tt.back(server); err != nil {
						t.Error(err)
					}
				}()
				var waits sync.WaitGroup
				waits.Go(func() {
					for {
						if _, err := watch.Next(context.Background()); errors.Is(err, storage.ErrClosed) {
							return
						}
					}
				})
				for range 8 {
					waits.Go(func() { _, _ = s.Client(context.Background(), "nobody", time.Now()) })
				}
				if noticed && name != "at work" {
					for deadline := time.Now().Add(20 * time.Second); s.db.database.Away() == nil; time.Sleep(10 * time.Millisecond) {
						if time.Now().After(deadline) {
							t.Fatal("it is not noticed that the database is away")
						}
					}
				}
				began := time.Now()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				waits.Wait()
				took := time.Since(began)
				t.Logf("closed after %v", took)
				if took > 5*time.Second {
					t.Errorf("it takes %v to close", took)
				}
				if err := goleak.Find(before); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
