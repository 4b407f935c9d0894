//go:build integration && linux

package cluster

import (
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/history"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// racers returns clients with addresses of their own, each at the next instance.
func (c *cluster) racers(t *testing.T, n int) []*person {
	t.Helper()
	var all []*person
	for k := range n {
		p := c.person(t, 0)
		p.client = c.instances[k%len(c.instances)].clientFrom(c.clients.Address(200, 1+k))
		all = append(all, p)
	}
	return all
}

// atOnce has all of them do the same at the same moment, and returns what they
// were answered.
func atOnce(racers []*person, do func(*person) history.Operation) []history.Operation {
	out, ready := make([]history.Operation, len(racers)), make(chan struct{})
	var all sync.WaitGroup
	for k, p := range racers {
		all.Go(func() {
			<-ready
			out[k] = do(p)
		})
	}
	close(ready)
	all.Wait()
	return out
}

func count(all []history.Operation, outcome history.Outcome) (n int) {
	for _, o := range all {
		if o.Outcome == outcome {
			n++
		}
	}
	return n
}

// B09: one code, by 64 racers at three instances.
func testOneCode(t *testing.T, c *cluster) {
	rounds, racers := pick(10, 200), c.racers(t, 64)
	var took durations
	for round := range rounds {
		f := c.person(t, round).begin(t, "/mcp")
		began := time.Now()
		winners := make(chan *family, len(racers))
		all := atOnce(racers, func(p *person) history.Operation {
			own := *f
			o := p.redeem(&own)
			if o.Outcome == history.Done {
				winners <- &own
			}
			return o
		})
		took.add(time.Since(began))
		if done, lost := count(all, history.Done), count(all, history.Lost); done != 1 || lost != 0 {
			t.Fatalf("round %d: %d got tokens and %d no answer, want one and none", round, done, lost)
		}
		if o := racers[round%len(racers)].rotate(<-winners); o.Outcome != history.Refused {
			t.Fatalf("round %d: the family of a code that was used again: %s", round, o.Outcome)
		}
	}
	t.Logf("%d rounds of %d racers at %d instances: one got tokens each time, and lost them by the others; a round took %v", rounds, len(racers), len(c.instances), &took)
}

// D01: one refresh token, by 16 racers at three instances.
func testOneRefreshToken(t *testing.T, c *cluster) {
	rounds, racers := pick(10, 200), c.racers(t, 16)
	var took durations
	for round := range rounds {
		f := c.person(t, round).signIn(t, "/mcp")
		first := f.refresh
		began := time.Now()
		all := atOnce(racers, func(p *person) history.Operation {
			own := *f
			return p.present(&own, first)
		})
		took.add(time.Since(began))
		if done := count(all, history.Done); done != len(racers) {
			t.Fatalf("round %d: %d of %d got an answer", round, done, len(racers))
		}
		for _, o := range all {
			if o.Next != all[0].Next {
				t.Fatalf("round %d: two successors", round)
			}
		}
		if o := racers[0].present(f, all[0].Next); o.Outcome != history.Done {
			t.Fatalf("round %d: the successor: %s", round, o.Outcome)
		}
		last := f.refresh
		if o := racers[1].present(f, first); o.Outcome != history.Refused {
			t.Fatalf("round %d: the first one again: %s", round, o.Outcome)
		}
		if o := racers[2].present(f, last); o.Outcome != history.Refused {
			t.Fatalf("round %d: the family after a reuse: %s", round, o.Outcome)
		}
	}
	t.Logf("%d rounds of %d racers at %d instances: all got the same successor, and a later reuse ended the family; a round took %v", rounds, len(racers), len(c.instances), &took)
}

// Three instances whose clocks differ by up to twenty minutes, while nothing
// fails.
func TestInstances_B09_D01_E17_M09(t *testing.T) {
	if long { // on the same wires, so before
		t.Run("a mutant", testMutant)
		t.Run("without notifications", func(t *testing.T) { testPropagation(t, start(t, options{silent: true}), 10) })
	}
	c := start(t, options{})
	t.Run("one code", func(t *testing.T) { testOneCode(t, c) })
	t.Run("one refresh token", func(t *testing.T) { testOneRefreshToken(t, c) })
	t.Run("a sign-in through all instances", func(t *testing.T) { testJourney(t, c) })
	t.Run("an account connected through all instances", func(t *testing.T) { testStepUp(t, c) })
	t.Run("a session", func(t *testing.T) { testSession(t, c) })
	testPropagation(t, c, pick(4, 50))
}

// Where claims lock nothing, the racers get more than one family of tokens, and
// the judge says so.
func testMutant(t *testing.T) {
	c := start(t, options{binary: programs.Mutant(t, "storage/pgstore/issue.go", " for update", "")})
	racers := c.racers(t, 64)
	for round := range 50 {
		f := c.person(t, round).begin(t, "/mcp")
		all := atOnce(racers, func(p *person) history.Operation {
			own := *f
			return p.redeem(&own)
		})
		if count(all, history.Done) > 1 {
			t.Logf("round %d: %d of %d got tokens for one code", round, count(all, history.Done), len(racers))
			if history.Judge(c.history.All()) == nil {
				t.Error("the judge found nothing wrong")
			}
			c.history = new(history.Recorder)
			return
		}
	}
	t.Error("the racers found nothing wrong")
}
