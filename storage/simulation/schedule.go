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
	// Over a network: what is on its way, and calls that failed and may still have
	// an effect.
	traffic   *traffic
	undecided []*running
	watcher   *watcher // unless nil
}

// instance is a process that has the store open, or a configuration in one.
type instance struct {
	number int
	store  storage.Store
	clock  model.Clock
	// Over a network: its way to the server, and its call that is at work.
	link *Link
	busy *running
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
		system: system, rng: rand.New(rand.NewPCG(seed, 1)), world: model.NewWorld(rand.New(rand.NewPCG(seed, 2))), count: map[string]map[string]int{}, traffic: newTraffic(),
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
	if err := s.open(s.instances); err != nil {
		return s, err
	}
	return s, s.watches(seed)
}

// open opens the store for instances, of which none has it open.
func (s *schedule) open(of []*instance) error {
	for n, i := range of {
		if n > 0 && !s.system.Shared {
			i.store = of[0].store
			continue
		}
		if err := s.openOne(i); err != nil {
			return err
		}
		s.hold(i, true)
	}
	return nil
}

func (s *schedule) openOne(i *instance) error {
	if s.system.Network != nil {
		i.link = &Link{network: s.system.Network, traffic: s.traffic, number: i.number}
	}
	store, err := s.system.Open(Instance{i.number, func() time.Time { return i.clock.At(s.world.Now) }, i.link})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	i.store = store
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
	for _, i := range s.instances {
		s.hold(i, false)
		for _, c := range s.traffic.in(i.link, waiting) { // it failed on the way
			c.decide(loseRequest)
		}
	}
	for _, c := range s.traffic.in(nil, late) { // it would keep what it has locked
		c.abandon()
	}
	if s.watcher != nil {
		err = s.watcher.close()
	}
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
		return s.overlapStep()
	}
	switch n := s.rng.IntN(100); {
	case n < 2 && s.system.Durable:
		return s.crash()
	case n < 12 && len(s.later) > 0:
		return s.resume(s.rng.IntN(len(s.later)))
	case n < 25:
		return s.wait()
	}
	if err := s.lookAround(); err != nil {
		return err
	}
	i := s.instances[s.rng.IntN(len(s.instances))]
	op := s.next()
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
		if err := s.overlapQuiesce(); err != nil {
			return err
		}
	}
	for len(s.later) > 0 {
		if err := s.resume(s.rng.IntN(len(s.later))); err != nil {
			return err
		}
	}
	if s.watcher != nil {
		return s.watcher.compare(s)
	}
	return nil
}
