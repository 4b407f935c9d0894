package simulation

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/simulation/internal/model"
)

// Options tell how much is simulated.
type Options struct {
	// Schedules is how many. Default: 1000. From there on, each verb has to answer in
	// each way that it can.
	Schedules int
	// Seed is that of the first; the next ones have the numbers after it. Default: 1.
	Seed uint64
	// Steps is how many there are in a schedule. Default: 60.
	Steps int
	// Parallel is how many schedules run at once. open is called by as many goroutines
	// then. Default: 1.
	Parallel int
	// Racing makes calls really at once, each in a goroutine, instead of one by one.
	// What happens is then up to Go, and not the same again for the same seed.
	Racing bool
}

func (o Options) complete() Options {
	if o.Schedules == 0 {
		o.Schedules = enough
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Steps == 0 {
		o.Steps = 60
	}
	return o
}

// enough schedules reach everything that a verb can answer.
const enough = 1000

// Run runs schedules on the systems that open returns, and fails the test with the
// first one that goes wrong. open returns an empty store each time.
func Run(t *testing.T, o Options, open func() (System, error)) Report {
	t.Helper()
	o = o.complete()
	report, err := runAll(o, open)
	var failure *Failure
	if errors.As(err, &failure) && testing.Verbose() {
		t.Log("all of it:\n" + failure.Whole)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	if missing := report.Missing(); o.Schedules >= enough && len(missing) > 0 {
		t.Errorf("never seen in %d schedules: %v", o.Schedules, missing)
	}
	return report
}

// runAll runs schedules until one goes wrong.
func runAll(o Options, open func() (System, error)) (Report, error) {
	var (
		mu      sync.Mutex
		workers sync.WaitGroup
		next    int
		all     = Report{Answers: map[string]map[string]int{}}
		failed  error
	)
	take := func() (n int, more bool) {
		mu.Lock()
		defer mu.Unlock()
		n, next = next, next+1
		return n, n < o.Schedules && failed == nil
	}
	for range max(1, o.Parallel) {
		workers.Go(func() {
			for n, more := take(); more; n, more = take() {
				one, err := One(o.Seed+uint64(n), o, open)
				mu.Lock()
				all.add(one)
				if failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return all, failed
}

// Failure is a schedule whose answers no order of its calls explains, or in which
// the store failed without a reason.
type Failure struct {
	Seed  uint64
	Cause error
	// History is what happened, as far as it matters; Whole is all of it.
	History, Whole string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d: %v\n\n%s", f.Seed, f.Cause, f.History)
}

// One runs the schedule of one seed. Its error is a Failure, or says that the store
// could not be opened or closed.
func One(seed uint64, o Options, open func() (System, error)) (Report, error) {
	system, err := open()
	if err != nil {
		return Report{}, err
	}
	s, err := start(seed, system)
	if err != nil {
		return Report{}, errors.Join(err, s.close())
	}
	o = o.complete()
	var cause error
	if o.Racing {
		cause = s.race(o.Steps)
	} else {
		cause = s.run(o.Steps)
	}
	judged, wrong := s.history.Judge()
	report := Report{Schedules: 1, Calls: s.history.Calls, Answers: s.count, Hash: s.history.Hash()}
	if !judged {
		report.Unjudged = 1
	}
	if cause != nil {
		cause = &Failure{Seed: seed, Cause: cause, History: s.history.String(), Whole: s.history.String()}
	}
	var impossible *model.Wrong
	if errors.As(wrong, &impossible) {
		cause = &Failure{Seed: seed, Cause: impossible, History: impossible.History, Whole: s.history.String()}
	}
	return report, errors.Join(cause, s.close())
}
