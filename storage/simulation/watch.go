package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/simulation/internal/model"
)

// watcher is a process that remembers what it reads, until the store tells it that
// another one changed that. It changes nothing itself, and takes no turn.
//
// In schedules that have one, instances also call what else only such stores have.
type watcher struct {
	*instance
	watch storage.Watch
	rng   *rand.Rand
	notes map[string]note
	marks int
}

// note is what a watcher remembers.
type note struct {
	model.Note
	text  string
	until time.Time
}

// oneWatches is in how many schedules one has a watcher: it takes a few new sessions of
// the database.
const oneWatches = 8

// watches begins to watch in some schedules, if the store is for several processes.
func (s *schedule) watches(seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 3))
	_, is := s.instances[0].store.(storage.Watcher)
	if !is || rng.IntN(oneWatches) > 0 {
		return nil
	}
	i := &instance{number: len(s.instances) + 1}
	if err := s.openOne(i); err != nil {
		return err
	}
	s.watcher = &watcher{instance: i, rng: rng, notes: map[string]note{}}
	var err error
	s.watcher.watch, err = i.store.(storage.Watcher).Watch(context.Background())
	return err
}

// next makes up what is called next.
func (s *schedule) next() *model.Operation {
	if s.watcher != nil && s.watcher.rng.IntN(5) == 0 {
		return s.world.NextShared(s.watcher.rng)
	}
	return s.world.Next()
}

// lookAround lets the watcher do something between two steps.
func (s *schedule) lookAround() error {
	if s.watcher == nil {
		return nil
	}
	switch n := s.watcher.rng.IntN(40); {
	case n < 20:
		return s.watcher.remember(s)
	case n < 21:
		return s.watcher.hear(s)
	}
	return nil
}

func (w *watcher) remember(s *schedule) error {
	n := note{Note: s.world.Note(w.rng)}
	var err error
	n.text, n.until, err = w.read(s, n)
	if _, has := w.notes[n.Name]; !has && err == nil && n.text != "" {
		w.notes[n.Name] = n
	}
	return err
}

func (w *watcher) read(s *schedule, n note) (string, time.Time, error) {
	return n.Read(context.Background(), w.store, s.world.Now)
}

// hear hears of all that was changed until now, and forgets it.
func (w *watcher) hear(s *schedule) error {
	idle := s.idle()
	if len(idle) == 0 {
		return nil
	}
	w.marks++
	mark := fmt.Sprint("mark ", w.marks)
	teller := idle[w.rng.IntN(len(idle))]
	err := s.aside(teller, func() error { return teller.store.(storage.Watcher).Announce(context.Background(), "", mark, "") })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for heard := false; err == nil && !heard; {
		var changes []storage.Change
		changes, err = w.watch.Next(ctx)
		for _, c := range changes {
			heard = heard || c.Kind == storage.Announced && c.Name == mark || c.Kind == storage.ChangesMissed
			s.counted(watched, string(c.Kind))
			for name, n := range w.notes {
				if n.EndsBy(c) || c.Kind == storage.ChangesMissed {
					delete(w.notes, name)
				}
			}
		}
	}
	if err != nil {
		return fmt.Errorf("the watcher does not hear of %q: %w", mark, err)
	}
	return nil
}

// compare hears of what was changed, and compares all that is remembered with what
// there is. Nothing is at work meanwhile.
func (w *watcher) compare(s *schedule) error {
	if err := w.hear(s); err != nil {
		return err
	}
	for name, n := range w.notes {
		text, _, err := w.read(s, n)
		switch {
		case err != nil:
			return err
		case n.Void() || !n.until.After(s.world.Now):
			delete(w.notes, name)
		case text != n.text:
			return fmt.Errorf("the watcher was not told of a change: %s is %q, and was %q", name, text, n.text)
		default:
			s.counted(watched, "still right")
		}
	}
	return nil
}

func (w *watcher) close() error {
	w.watch.Close()
	return w.store.Close()
}
