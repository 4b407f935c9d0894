package openlinks

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const lifetime = 15 * time.Minute

var (
	someTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	client   = Client{"i", "g", "s"}
)

// asked counts what is asked of a store.
type asked struct {
	Store
	reads, writes int
	err           error
}

func (s *asked) SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error) {
	if s.reads++; s.err != nil {
		return storage.SiteValue{}, s.err
	}
	return s.Store.SiteValue(ctx, issuer, name, now)
}

func (s *asked) PutSiteValue(ctx context.Context, v storage.SiteValue) error {
	if s.writes++; s.err != nil {
		return s.err
	}
	return s.Store.PutSiteValue(ctx, v)
}

func newStore(t *testing.T) *asked {
	t.Helper()
	s := memstore.New()
	oauthtest.Closing(t, s, nil)
	return &asked{Store: s}
}

func begin(t *testing.T, l *Links, in Store, c Client, now time.Time) {
	t.Helper()
	if err := l.Begin(t.Context(), in, c, now); err != nil {
		t.Fatal(err)
	}
}

func wantOpen(t *testing.T, l *Links, in Store, c Client, now time.Time, want bool) {
	t.Helper()
	if got, err := l.IsOpen(t.Context(), in, c, now); err != nil || got != want {
		t.Errorf("after %v, %v is open: %t, %v; want %t", now.Sub(someTime), c, got, err, want)
	}
}

// A link is open, for the client that was given it and as long as it works, in every
// process; giving it once more prolongs it in none. Who gave it asks nobody.
func TestOpenInEveryProcess(t *testing.T) {
	store := newStore(t)
	here, there := New(lifetime), New(lifetime)
	wantOpen(t, here, store, client, someTime, false)
	begin(t, here, store, client, someTime)
	last := someTime.Add(lifetime - time.Second)
	begin(t, here, store, client, last)
	begin(t, there, store, client, last)
	if store.writes != 1 {
		t.Errorf("stored %d times, want once", store.writes)
	}
	store.reads = 0
	wantOpen(t, here, store, client, last, true)
	if store.reads != 0 {
		t.Errorf("who gave the link reads %d times", store.reads)
	}
	for name, l := range map[string]*Links{"here": here, "there": there, "in one that has just started": New(lifetime)} {
		t.Run(name, func(t *testing.T) {
			wantOpen(t, l, store, client, last, true)
			wantOpen(t, l, store, client, someTime.Add(lifetime), false)
			for _, other := range []Client{{"j", "g", "s"}, {"i", "h", "s"}, {"i", "g", "t"}} {
				wantOpen(t, l, store, other, someTime, false)
			}
		})
	}
}

// A link that was used is open nowhere, and the next one is again, for as long as it
// works.
func TestUsedLinkIsNotOpen(t *testing.T) {
	store := newStore(t)
	here, there := New(lifetime), New(lifetime)
	begin(t, here, store, client, someTime)
	there.End(client, someTime) // it does not know which one that is
	wantOpen(t, there, store, client, someTime, true)
	later := someTime.Add(time.Minute)
	here.End(client, later)
	oauthtest.Eventually(t, "the link stays open", func() bool {
		open, err := here.IsOpen(t.Context(), store, client, later)
		return err == nil && !open
	})
	wantOpen(t, there, store, client, later, false)
	begin(t, there, store, client, later)
	wantOpen(t, here, store, client, later.Add(lifetime-time.Second), true)
}

// The end of a link that is stored late does not end the one after it.
func TestLateEnd(t *testing.T) {
	store := newStore(t)
	l := New(lifetime)
	begin(t, l, store, client, someTime)
	first, _ := l.given.Get(client)
	l.given.Remove(client)
	later := someTime.Add(lifetime)
	begin(t, l, store, client, later)
	first.end(client, later)
	wantOpen(t, New(lifetime), store, client, later, true)
}

// Where nothing can be stored or read, nobody is told anything else.
func TestStoreFails(t *testing.T) {
	store := newStore(t)
	store.err = errors.New("the disk is on fire")
	l := New(lifetime)
	if err := l.Begin(t.Context(), store, client, someTime); !errors.Is(err, store.err) {
		t.Errorf("begins with %v, want %v", err, store.err)
	}
	if _, err := l.IsOpen(t.Context(), store, client, someTime); !errors.Is(err, store.err) {
		t.Errorf("open with %v, want %v", err, store.err)
	}
	store.err = nil
	wantOpen(t, l, store, client, someTime, false)
}

// Nothing is stored for a virtual key, and memory stays bounded.
func TestWhatIsKept(t *testing.T) {
	store := newStore(t)
	l := New(lifetime)
	begin(t, l, store, Client{"i", "", "s"}, someTime)
	wantOpen(t, l, store, Client{"i", "", "s"}, someTime, false)
	if store.writes+store.reads != 0 {
		t.Errorf("the store is asked %d times for a virtual key", store.writes+store.reads)
	}
	for i := range maxRemembered + 10 {
		begin(t, l, store, Client{"i", fmt.Sprint(i), "s"}, someTime)
	}
	if n := l.given.Len(); n != maxRemembered {
		t.Errorf("%d are remembered, want %d", n, maxRemembered)
	}
	wantOpen(t, l, store, Client{"i", "0", "s"}, someTime, true) // of the record
}
