package instances

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/reseal"
)

const (
	// Interval is how often an instance says that it is there.
	Interval = 5 * time.Second
	// gone is after how long one that does not is taken for gone.
	gone = 4 * Interval
	// steady is for how long all others must have had a key before it seals: one that
	// has just gone may come back without it.
	steady = 2 * Interval
)

// Store is what they work on.
type Store interface {
	storage.InstanceStore
	reseal.Store
}

// Instances are this process and the others. It is safe for concurrent use.
type Instances struct {
	store   Store
	id      string
	version string
	now     func() time.Time

	turn  sync.Mutex     // held while the store is asked
	ready *Configuration // whose first key everybody has
	since time.Time      // as far as is known

	mu      sync.Mutex
	all     []storage.Instance
	told    map[at]bool
	found   map[at]Difference
	problem error
}

// New returns the instances on a store. version is that of this program.
func New(store Store, version string, now func() time.Time) *Instances {
	return &Instances{
		store: store, id: newID(), version: version, now: now,
		told: map[at]bool{}, found: map[at]Difference{},
	}
}

// newID returns a name that operators recognise, and no other process has.
func newID() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "caddy"
	}
	return strings.ToLower(host + "-" + rand.Text()[:6])
}

// ID returns the name of this process.
func (i *Instances) ID() string { return i.id }

// Join announces this process with a configuration that is about to serve. It refuses
// one that cannot read what the instances on the store seal.
func (i *Instances) Join(ctx context.Context, c *Configuration) error {
	i.turn.Lock()
	defer i.turn.Unlock()
	if err := i.follow(ctx, c); err != nil { // before anybody hears of it
		return err
	}
	all, err := i.announce(ctx, c)
	if err != nil {
		return err
	}
	// An instance that changes the key has seen this one by now, or this one sees the
	// change.
	if err := i.follow(ctx, c); err != nil {
		return err
	}
	return i.canOpen(c, all)
}

// Turn announces this process with the configuration that serves, and compares it
// with the others.
func (i *Instances) Turn(ctx context.Context, c *Configuration) error {
	i.turn.Lock()
	defer i.turn.Unlock()
	all, err := i.announce(ctx, c)
	if err != nil {
		return err
	}
	err = i.follow(ctx, c)
	var foreign *ForeignKeyError
	switch {
	case errors.As(err, &foreign):
		i.keep(ctx, c, all, err)
		return nil
	case err != nil:
		return err
	}
	if err := i.advance(ctx, c, all); err != nil {
		return err
	}
	i.keep(ctx, c, all, nil)
	return nil
}

// Leave says that this process is gone.
func (i *Instances) Leave(ctx context.Context) error {
	i.turn.Lock()
	defer i.turn.Unlock()
	return i.store.LeaveInstance(ctx, i.id)
}

// Problem returns why this instance should get no more requests, or nil.
func (i *Instances) Problem() error {
	if i == nil {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.problem
}

func (i *Instances) announce(ctx context.Context, c *Configuration) ([]storage.Instance, error) {
	text, err := json.Marshal(c.about(i.version))
	if err != nil {
		return nil, err
	}
	all, err := i.store.AnnounceInstance(ctx, storage.Instance{ID: i.id, About: text}, gone)
	if err == nil {
		i.mu.Lock()
		i.all = all
		i.mu.Unlock()
	}
	return all, err
}

// keep makes known what was found, and tells what has lasted, and what is over.
func (i *Instances) keep(ctx context.Context, c *Configuration, all []storage.Instance, problem error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	found := i.differences(all, now)
	for key, d := range found {
		if !i.told[key] && d.Lasts(now) {
			i.told[key] = true
			c.Events.Record(ctx, event.Event{Kind: event.InstancesDiffer, Reason: d.Kind, Err: errors.New(d.Text), Detail: d.Fix})
		}
	}
	for key := range maps.Clone(i.told) {
		if _, still := found[key]; !still {
			delete(i.told, key)
			over := i.found[key]
			c.Events.Record(ctx, event.Event{Kind: event.InstancesAgree, Reason: over.Kind, Detail: over.Site})
		}
	}
	if problem != nil && (i.problem == nil || i.problem.Error() != problem.Error()) {
		c.Events.Record(ctx, event.Event{Kind: event.InstancesDiffer, Reason: ofKeys, Err: problem, Detail: fixKeys})
	}
	i.found, i.problem = found, problem
}

// differences returns those that there are now, and since when. i.mu is held.
func (i *Instances) differences(all []storage.Instance, now time.Time) map[at]Difference {
	own, others := i.split(all)
	found := compare(own, others)
	for key, d := range found {
		d.Since = now
		if before, known := i.found[key]; known {
			d.Since = before.Since
		}
		found[key] = d
	}
	return found
}

// split returns what this process and the others say.
func (i *Instances) split(all []storage.Instance) (own seen, others []seen) {
	for _, instance := range all {
		s := read(instance)
		if instance.ID == i.id {
			own = s
			continue
		}
		others = append(others, s)
	}
	return own, others
}

// read reads what an instance says of itself. When it was configured is told by the
// store's clock.
func read(i storage.Instance) seen {
	s := seen{id: i.ID, clockAhead: i.ClockAhead}
	_ = json.Unmarshal(i.About, &s.about) // of a later version, as much as is known
	s.Configured = s.Configured.Add(-i.ClockAhead)
	return s
}

// Overview is what operators see.
type Overview struct {
	// Shared tells whether several instances can work on the store.
	Shared    bool         `json:"shared"`
	Instances []Instance   `json:"instances"`   // by their IDs; none where there can be only one
	Different []Difference `json:"differences"` // between the one that answers and the others
}

// Instance is a Caddy at work on the store.
type Instance struct {
	ID      string `json:"id"`                // the name of its host, and something random
	This    bool   `json:"this,omitempty"`    // it is the one that answers
	Version string `json:"version,omitempty"` // of the plugin, if it was built with one
	// StartedAt, ConfiguredAt and SeenAt are when it began to work on the store, when
	// its configuration was loaded, and when it was last heard of, by the clock of
	// the database.
	StartedAt    time.Time `json:"started_at"`
	ConfiguredAt time.Time `json:"configured_at"`
	SeenAt       time.Time `json:"seen_at"`
	// ClockAhead is how many seconds its clock is ahead of that of the database; less
	// than two count as none.
	ClockAhead int `json:"clock_ahead_seconds"`
	// EncryptionKeys are the names of its keys, as they are configured, and Encrypts
	// is the one that encrypts now.
	EncryptionKeys []string `json:"encryption_keys"`
	Encrypts       string   `json:"encrypts"`
	Sites          []string `json:"sites"` // their public URLs
}

// Overview returns what is known now.
func (i *Instances) Overview() Overview {
	o := Overview{Shared: i != nil, Instances: []Instance{}, Different: []Difference{}}
	if i == nil {
		return o
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, instance := range i.all {
		s := read(instance)
		o.Instances = append(o.Instances, Instance{
			ID: s.id, This: s.id == i.id, Version: s.Version, StartedAt: instance.StartedAt, ConfiguredAt: s.Configured, SeenAt: instance.SeenAt,
			ClockAhead: int(s.clockAhead / time.Second), EncryptionKeys: append([]string{}, s.Keys...), Encrypts: s.Sealing,
			Sites: append([]string{}, slices.Sorted(maps.Keys(s.Sites))...),
		})
	}
	for _, d := range i.differences(i.all, i.now()) {
		o.Different = append(o.Different, d)
	}
	slices.SortFunc(o.Different, func(a, b Difference) int {
		return strings.Compare(a.Kind+" "+a.Site, b.Kind+" "+b.Site)
	})
	return o
}
