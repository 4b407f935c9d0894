//go:build postgres

package pgstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/instances"
)

// What the store lets through is what a limiter of one process lets through that
// hears of all events, block by block.
func TestRatesAreThoseOfOneLimiter_N10(t *testing.T) {
	s, schema, _ := openSchema(t, schemas)
	other := open(t, schema)
	defer other.Close()
	instances, round := []*Store{s, other}, 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		kind := fmt.Sprint("round ", round)
		at := time.Unix(1_800_000_000, 0)
		limiter := ratelimit.New(1000)
		limiter.Now = func() time.Time { return at }
		// Exact in binary, so that both mean the same moment.
		perMinute := rapid.SampledFrom([]int{4, 15, 30}).Draw(t, "per minute")
		address := rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:100::1", "alice"})
		for range rapid.IntRange(1, 10).Draw(t, "events") {
			at = at.Add(time.Duration(rapid.IntRange(0, 64).Draw(t, "eighths of a second")) * time.Second / 8)
			from := address.Draw(t, "address")
			burst := rapid.SampledFrom([]int{1, 1, perMinute / 2, perMinute + 1}).Draw(t, "at once")
			for range burst {
				store := rapid.SampledFrom(instances).Draw(t, "instance")
				store.Rates.Clock = fmt.Sprint(at.UnixMicro(), "::bigint")
				got, err := store.TakeRates(t.Context(), ratelimit.Rates(kind, from, "", perMinute))
				if err != nil {
					t.Fatal(err)
				}
				if want := limiter.Allow(kind, from, perMinute); got != want {
					t.Fatalf("%s: the store says %v, the limiter %v", from, got, want)
				}
			}
		}
	})
}

// Very many senders leave nothing behind: what is over is swept.
func TestRatesAreSwept_N10(t *testing.T) {
	s, schema, _ := openSchema(t, schemas)
	sql(t, "insert into "+schema+".rates select sha256(n::text::bytea), "+instances.Microseconds+" - 1000000 from generate_series(1, 100000) n")
	if _, err := s.TakeRates(t.Context(), []storage.Rate{{Key: storage.HashOf("now"), PerMinute: 1}}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := s.Sweep(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	t.Logf("swept in %v", time.Since(began))
	var left int
	if err := s.db.pool.QueryRow(t.Context(), s.db.sql(`select count(*) from {}rates`)).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d rates are left, %v; want that which is used up now", left, err)
	}
	if got, err := s.TakeRates(t.Context(), []storage.Rate{{Key: storage.HashOf("now"), PerMinute: 1}}); err != nil || got {
		t.Errorf("a second event in a minute: %v, %v", got, err)
	}
}

// While rates are swept, nobody is refused for it.
func TestSweepRefusesNobody_N10(t *testing.T) {
	s, _, _ := openSchema(t, schemas)
	ctx, stop := context.WithCancel(t.Context())
	var sweeps sync.WaitGroup
	sweeps.Go(func() {
		for ctx.Err() == nil {
			_, _ = s.Sweep(ctx, time.Now())
		}
	})
	keys := make([]storage.Hash, 4)
	for i := range keys {
		keys[i] = storage.HashOf(fmt.Sprint("often ", i))
	}
	for n := range 500 {
		// A million a minute: over after 60 microseconds, so swept at once.
		got, err := s.TakeRates(t.Context(), []storage.Rate{{Key: keys[n%len(keys)], PerMinute: 1_000_000}})
		if err != nil || !got {
			t.Fatalf("event %d: %v, %v", n, got, err)
		}
	}
	stop()
	sweeps.Wait()
}

func TestInstances(t *testing.T) {
	s, schema, _ := openSchema(t, schemas)
	other := open(t, schema)
	defer other.Close()
	other.db.clock.Set(-10 * time.Minute) // its own clock is ten minutes ahead
	announce := func(s *Store, id, about string, within time.Duration) []storage.Instance {
		t.Helper()
		all, err := s.AnnounceInstance(t.Context(), storage.Instance{ID: id, About: []byte(about)}, within)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	ids := func(all []storage.Instance) (ids []string) {
		for _, i := range all {
			ids = append(ids, i.ID+" "+string(i.About))
		}
		return ids
	}
	announce(s, "one", "a", time.Minute)
	all := announce(other, "two", "b", time.Minute)
	if want := []string{"one a", "two b"}; !slices.Equal(ids(all), want) {
		t.Fatalf("got %q, want %q", ids(all), want)
	}
	if all[0].ClockAhead != 0 || all[1].ClockAhead != 10*time.Minute || time.Since(all[1].SeenAt).Abs() > time.Minute {
		t.Errorf("clocks: %+v", all)
	}
	started := all[1].StartedAt
	if all = announce(other, "two", "c", time.Minute); !all[1].StartedAt.Equal(started) || !all[1].SeenAt.After(started) || string(all[1].About) != "c" {
		t.Errorf("announced again: %+v, want it started at %v", all[1], started)
	}
	if err := other.LeaveInstance(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	if got, want := ids(announce(s, "one", "d", time.Minute)), []string{"one d"}; !slices.Equal(got, want) {
		t.Errorf("after it left: %q, want %q", got, want)
	}
	sql(t, "update "+schema+".instances set seen_at = seen_at - 60000001")
	if got, want := ids(announce(other, "two", "e", time.Minute)), []string{"two e"}; !slices.Equal(got, want) {
		t.Errorf("when the other was not seen for a minute: %q, want %q", got, want)
	}
}

// Bounds on what is stored hold for all processes together.
func TestRegistrationBoundOfAllProcesses_N10(t *testing.T) {
	s, schema, _ := openSchema(t, schemas)
	other := open(t, schema)
	defer other.Close()
	now := time.Now()
	const bound, each = 10, 30
	var all sync.WaitGroup
	for n, at := range []*Store{s, other} {
		all.Go(func() {
			for i := range each {
				sender := storage.HashOf(fmt.Sprint("sender ", n, i%3))
				c := storage.Client{ID: fmt.Sprint("client ", n, i), Issuer: "https://mcp.example.com", Sender: &sender, CreatedAt: now.Add(time.Duration(i)), ExpiresAt: now.Add(time.Hour)}
				if err := at.CreateClient(context.Background(), c, storage.Unused{Max: bound}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	clients, _, err := s.Clients(t.Context(), "", 100, now)
	if err != nil || len(clients) != bound {
		t.Errorf("%d registrations are kept, %v; want %d", len(clients), err, bound)
	}
}

// Who is the oldest is decided by the database's clock: what came to a process whose
// clock is behind does not drop out first.
func TestOldestOfAllProcesses_N10(t *testing.T) {
	s, schema, _ := openSchema(t, schemas)
	behind := open(t, schema)
	defer behind.Close()
	behind.db.clock.Set(10 * time.Minute)
	now := time.Now()
	for n, id := range []string{"first", "second", "third"} {
		at, store := now.Add(time.Duration(n)*time.Second), s
		if id == "second" {
			at, store = at.Add(-10*time.Minute), behind
		}
		c := storage.Client{ID: id, Issuer: "https://mcp.example.com", CreatedAt: at, ExpiresAt: at.Add(time.Hour)}
		if err := store.CreateClient(t.Context(), c, storage.Unused{Max: 2}); err != nil {
			t.Fatal(err)
		}
	}
	clients, _, err := s.Clients(t.Context(), "", 100, now)
	var ids []string
	for _, c := range clients {
		ids = append(ids, c.ID)
	}
	if want := []string{"second", "third"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("%q are kept, %v; want %q", ids, err, want)
	}
}
