package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/simulation/internal/model"
)

// schedule is one run.
type schedule struct {
	system    System
	rng       *rand.Rand // what is done, and when
	world     *model.World
	history   model.History
	instances []*instance
	// later are calls that the store gets to see later.
	later []*running
	// unseen is how many answers may still get lost: each one that changes something
	// leaves the model with twice as many possibilities.
	unseen int
	count  map[string]map[string]int
}

// instance is a process that has the store open, or a configuration in one.
type instance struct {
	number int
	store  storage.Store
	clock  model.Clock
	busy   *running // over a network
}

// running is a call that is under way.
type running struct {
	*model.Call
	on     *instance
	cancel context.CancelFunc
	done   chan model.Answer
	// hit: something was done to it that may make it fail.
	hit bool
	// told: whoever called heard of an error, or is gone.
	told bool
}

// errLost is what a caller is told whose answer got lost.
var errLost = errors.New("the answer got lost")

// start makes a schedule of a seed. Each draws from generators of its own, so that
// what is called does not depend on what is answered.
func start(seed uint64, system System) (*schedule, error) {
	s := &schedule{
		system: system, rng: rand.New(rand.NewPCG(seed, 1)), world: model.NewWorld(rand.New(rand.NewPCG(seed, 2))), count: map[string]map[string]int{},
	}
	s.unseen = s.rng.IntN(6)
	if err := s.tick(); err != nil {
		return nil, err
	}
	for n := range 2 + s.rng.IntN(4) {
		i := &instance{number: n + 1}
		s.instances = append(s.instances, i)
		s.skew(i)
	}
	return s, s.open(s.instances)
}

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

// open opens the store for instances, of which none has it open.
func (s *schedule) open(of []*instance) error {
	for n, i := range of {
		if n > 0 && !s.system.Shared {
			i.store = of[0].store
			continue
		}
		store, err := s.system.Open(Instance{i.number, func() time.Time { return i.clock.At(s.world.Now) }})
		if err != nil {
			return fmt.Errorf("opening the store: %w", err)
		}
		i.store = store
	}
	return nil
}

// run makes steps, and then lets everything end.
func (s *schedule) run(steps int) error {
	for range steps {
		if err := s.step(); err != nil {
			return err
		}
	}
	return s.quiesce()
}

// close ends the schedule.
func (s *schedule) close() (err error) {
	for n, i := range s.instances {
		if i.store != nil && (n == 0 || s.system.Shared) {
			err = errors.Join(err, i.store.Close())
		}
	}
	if s.system.Close != nil {
		err = errors.Join(err, s.system.Close())
	}
	return err
}

func (s *schedule) step() error {
	if s.system.Network != nil {
		return s.networkStep()
	}
	switch n := s.rng.IntN(100); {
	case n < 2 && s.system.Durable:
		return s.crash()
	case n < 12 && len(s.later) > 0:
		return s.resume(s.rng.IntN(len(s.later)))
	case n < 25:
		return s.wait()
	}
	i := s.instances[s.rng.IntN(len(s.instances))]
	op := s.world.Next()
	if op.Alone {
		if err := s.quiesce(); err != nil {
			return err
		}
		return s.perform(s.begin(op, i))
	}
	r := s.begin(op, i)
	n := s.rng.IntN(40)
	if n < 6 && !op.Reads {
		if s.unseen == 0 {
			n = 40
		}
		s.unseen = max(0, s.unseen-1)
	}
	switch {
	case n < 2: // committed, and the answer is lost
		r.tell(s)
		return s.perform(r)
	case n < 5: // whoever called gave up, or was told of an error, and it comes later
		r.tell(s)
		s.later = append(s.later, r)
		return nil
	case n < 6: // it never comes to the store
		r.tell(s)
		s.history.End(r.Call, s.world.Now)
		return nil
	case n < 10: // it takes long
		s.later = append(s.later, r)
		return nil
	}
	return s.perform(r)
}

func (s *schedule) begin(op *model.Operation, i *instance) *running {
	return &running{Call: s.history.Begin(op, i.number, s.world.Now), on: i}
}

// tell tells whoever called that nobody knows what happened.
func (r *running) tell(s *schedule) {
	r.told, r.hit = true, true
	s.counted(r.Verb, unseen)
	if r.Saw != nil {
		r.Saw(model.Lost(errLost))
	}
}

func (s *schedule) counted(verb, kind string) {
	if s.count[verb] == nil {
		s.count[verb] = map[string]int{}
	}
	s.count[verb][kind]++
}

// perform makes a call, and hands its answer to whoever waits for it.
func (s *schedule) perform(r *running) error {
	return s.finish(r, r.Do(context.Background(), r.on.store, r.on.clock))
}

func (s *schedule) finish(r *running, got model.Answer) error {
	switch {
	case r.told:
		s.history.End(r.Call, s.world.Now)
		return nil
	case got.Failed() && !r.hit:
		s.history.Answer(r.Call, got, s.world.Now)
		return fmt.Errorf("#%d %s failed, and nothing was done to it: %w", r.Number, r.Verb, got.Err())
	case got.Failed():
		r.tell(s)
		s.history.End(r.Call, s.world.Now)
		return nil
	}
	s.counted(r.Verb, got.Kind())
	s.history.Answer(r.Call, got, s.world.Now)
	if r.Saw != nil {
		r.Saw(got)
	}
	return nil
}

func (s *schedule) resume(n int) error {
	r := s.later[n]
	s.later = append(s.later[:n], s.later[n+1:]...)
	return s.perform(r)
}

// quiesce lets all calls end.
func (s *schedule) quiesce() error {
	if s.system.Network != nil {
		return s.networkQuiesce()
	}
	for len(s.later) > 0 {
		if err := s.resume(s.rng.IntN(len(s.later))); err != nil {
			return err
		}
	}
	return nil
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
	if err := i.store.Check(context.Background()); err != nil {
		return fmt.Errorf("Check on instance %d: %w", i.number, err)
	}
	return nil
}

// crash ends a process: what was under way comes to the store, or does not, and
// nobody sees the answer.
func (s *schedule) crash() error {
	gone := s.instances
	if s.system.Shared {
		gone = gone[:0:0]
		gone = append(gone, s.instances[s.rng.IntN(len(s.instances))])
	}
	keep := s.later[:0:0]
	for _, r := range s.later {
		switch {
		case s.system.Shared && r.on != gone[0]:
			keep = append(keep, r)
			continue
		case !r.told:
			r.tell(s)
		}
		if s.rng.IntN(2) == 0 {
			s.history.End(r.Call, s.world.Now)
		} else if err := s.perform(r); err != nil {
			return err
		}
	}
	s.later = keep
	s.history.Note(s.world.Now, "the process of instance %d crashes", gone[0].number)
	end := s.system.Crash
	if end == nil {
		end = storage.Store.Close
	}
	if err := end(gone[0].store); err != nil {
		return err
	}
	return s.open(gone)
}
