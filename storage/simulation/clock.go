package simulation

import (
	"context"
	"fmt"
	"time"
)

// tick tells a store with a clock what time it is.
func (s *schedule) tick() error {
	if s.system.Time == nil {
		return nil
	}
	return s.system.Time(s.world.Now)
}

// skew sets an instance's clock.
func (s *schedule) skew(i *instance) {
	if s.system.Skew == 0 || s.rng.IntN(3) == 0 {
		i.clock.Ahead = 0
		return
	}
	// Whole seconds, and more than two, are what clocks can be told apart by.
	i.clock.Ahead = time.Duration(s.rng.Int64N(int64(s.system.Skew/time.Second))-int64(s.system.Skew/(2*time.Second))) * time.Second
	if i.clock.Ahead.Abs() <= 2*time.Second {
		i.clock.Ahead = 3 * time.Second
	}
}

// wait lets time pass, or sets a clock. Nothing is at work meanwhile: the model knows
// one time for all calls that overlap.
func (s *schedule) wait() error {
	if err := s.quiesce(); err != nil {
		return err
	}
	if s.system.Skew > 0 && s.rng.IntN(5) == 0 {
		i := s.instances[s.rng.IntN(len(s.instances))]
		s.skew(i)
		s.history.Note(s.world.Now, "the clock of instance %d jumps: it is ahead by %s", i.number, i.clock.Ahead)
		return s.measure(i)
	}
	if passed := s.world.Advance(); passed > 0 {
		s.history.Note(s.world.Now, "%s later", passed)
	}
	return s.tick()
}

// measure lets a store that has a clock of its own notice how far an instance is off.
func (s *schedule) measure(i *instance) error {
	return s.aside(i, func() error {
		if err := i.store.Check(context.Background()); err != nil {
			return fmt.Errorf("Check on instance %d: %w", i.number, err)
		}
		return nil
	})
}
