package instances

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// sharedStore is a store in memory that several instances share, with a clock that
// only the test moves.
type sharedStore struct {
	storage.Store
	mu   sync.Mutex
	time time.Time
	all  map[string]storage.Instance
	skew map[string]time.Duration
}

func newSharedStore(t testing.TB) *sharedStore {
	s := &sharedStore{Store: memstore.New(), time: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), all: map[string]storage.Instance{}, skew: map[string]time.Duration{}}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (s *sharedStore) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.time
}

func (s *sharedStore) after(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.time = s.time.Add(d)
}

func (s *sharedStore) AnnounceInstance(_ context.Context, i storage.Instance, within time.Duration) ([]storage.Instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.StartedAt, i.SeenAt, i.ClockAhead = cmp.Or(s.all[i.ID].StartedAt, s.time), s.time, s.skew[i.ID]
	s.all[i.ID] = i
	maps.DeleteFunc(s.all, func(_ string, i storage.Instance) bool { return s.time.Sub(i.SeenAt) > within })
	return slices.SortedFunc(maps.Values(s.all), func(a, b storage.Instance) int { return cmp.Compare(a.ID, b.ID) }), nil
}

func (s *sharedStore) LeaveInstance(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
	return nil
}

// heard keeps what was recorded.
type heard struct{ events []event.Event }

func (h *heard) Record(e *event.Event) {
	if e.Kind == event.InstancesDiffer || e.Kind == event.InstancesAgree {
		h.events = append(h.events, *e)
	}
}

// process is a Caddy, with the configuration that serves.
type process struct {
	*Instances
	store  *sharedStore
	heard  *heard
	events *event.Recorder
	serves *Configuration
}

func newProcess(s *sharedStore) *process {
	p := &process{Instances: New(s, "v1", s.now), store: s, heard: new(heard)}
	p.events = event.NewRecorder(event.Options{Now: s.now}, p.heard)
	return p
}

// load is what a reload does: a configuration that is refused changes nothing.
func (p *process) load(ring *seal.Keyring, sites ...*config.Site) error {
	c := &Configuration{Store: "postgres caddy@db/mcp_oauth", Loaded: p.store.now(), Ring: ring, Events: p.events}
	for _, s := range sites {
		c.AddSite(s)
	}
	err := p.Join(context.Background(), c)
	if err == nil {
		p.serves = c
	}
	return err
}

func ringOf(t interface{ Fatal(...any) }, keys ...byte) *seal.Keyring {
	var all [][]byte
	for _, b := range keys {
		all = append(all, bytes.Repeat([]byte{b}, seal.KeySize))
	}
	k, err := seal.NewKeyring(all...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// keyID is the name of a key.
func keyID(t interface{ Fatal(...any) }, b byte) string { return ringOf(t, b).IDs()[0] }
