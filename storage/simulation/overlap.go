package simulation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/simulation/internal/model"
)

// patience is how long a schedule waits for a server that says nothing.
const patience = 20 * time.Second

// overlapStep is step over a network: a call begins, or a request has its turn.
func (s *schedule) overlapStep() error {
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.lookAround(); err != nil {
		return err
	}
	turns, arrivals, idle := s.traffic.in(nil, waiting), s.traffic.in(nil, late), s.idle()
	switch n := s.rng.IntN(100); {
	case n < 2 && s.unseen > 0:
		return s.crashOne()
	case n < 8 && s.busy() == 0:
		return s.wait()
	case n < 40 && len(idle) > 0 && s.busy() < 4, len(turns)+len(arrivals) == 0 && len(idle) > 0:
		return s.launch(idle[s.rng.IntN(len(idle))])
	case n < 60 && len(arrivals) > 0:
		arrivals[s.rng.IntN(len(arrivals))].arrive()
	case len(turns) > 0:
		s.turn(turns[s.rng.IntN(len(turns))])
	case len(arrivals) > 0:
		arrivals[0].arrive()
	default:
		time.Sleep(time.Millisecond) // all wait for one another: the server finds out
	}
	return nil
}

// turn decides what becomes of a request.
func (s *schedule) turn(c *conn) {
	what := deliver
	if s.unseen > 0 {
		switch n := s.rng.IntN(60); {
		case n < 2:
			what = loseRequest
		case n < 5:
			what = loseAnswer
		case n < 7:
			what = arriveLate
		case n < 8:
			for _, i := range s.instances {
				if i.link == c.link && i.busy != nil { // whoever called gives up
					s.unseen--
					i.busy.hit = true
					i.busy.cancel()
					return
				}
			}
		}
		if what != deliver {
			s.unseen--
			s.counted("(network)", [...]string{loseRequest: "request lost", loseAnswer: "answer lost", arriveLate: "request late"}[what])
		}
	}
	c.decide(what)
}

func (s *schedule) idle() []*instance {
	return slices.DeleteFunc(slices.Clone(s.instances), func(i *instance) bool { return i.busy != nil })
}

func (s *schedule) busy() int { return len(s.instances) - len(s.idle()) }

// launch begins a call.
func (s *schedule) launch(i *instance) error {
	op := s.next()
	if op.Alone {
		if err := s.quiesce(); err != nil {
			return err
		}
		return s.aside(i, func() error { return s.perform(s.begin(op, i)) })
	}
	r := s.begin(op, i)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan model.Answer, 1)
	i.busy = r
	store, clock := i.store, i.clock
	go func() {
		r.done <- r.Do(ctx, store, clock)
		s.traffic.tell()
	}()
	return nil
}

// aside does something on an instance that nothing else meets.
func (s *schedule) aside(i *instance, do func() error) error {
	s.hold(i, false)
	defer s.hold(i, true)
	return do()
}

func (s *schedule) hold(i *instance, held bool) {
	if i.link == nil {
		return
	}
	s.traffic.mu.Lock()
	defer s.traffic.mu.Unlock()
	i.link.open = held
}

// settle waits until nothing moves: each call has ended, waits for the turn of a
// request, or waits at the server for another one.
func (s *schedule) settle() error {
	pause := time.Millisecond // most answers take less
	for began := time.Now(); ; {
		moving, gone := false, s.traffic.in(nil, lost)
		var ask []uint32
		for _, c := range gone { // first: of one that is gone by then, nobody waits for a lock
			ask = append(ask, c.session)
		}
		for _, i := range s.instances {
			if i.busy == nil {
				continue
			}
			select {
			case got := <-i.busy.done:
				r := i.busy
				i.busy = nil
				r.cancel()
				if err := s.ended(r, got); err != nil {
					return err
				}
				continue
			default:
			}
			if len(s.traffic.in(i.link, waiting)) > 0 {
				continue
			}
			moving = true
			for _, c := range s.traffic.in(i.link, sent) {
				ask = append(ask, c.session)
			}
		}
		if !moving && len(gone) == 0 {
			return nil
		}
		select {
		case <-s.traffic.changed:
			continue
		case <-time.After(pause):
			pause = min(2*pause, 16*time.Millisecond)
		}
		still, err := s.ask(ask)
		if err != nil {
			return err
		}
		if !still {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("nothing moves: %s", s.history.String())
		}
	}
}

// ask asks the server about sessions, and reports whether one of them is at work, or
// a call is about to send something.
func (s *schedule) ask(ids []uint32) (moving bool, err error) {
	there, blocked, err := s.system.Network.Sessions(ids)
	if err != nil {
		return false, err
	}
	s.traffic.forget(func(id uint32) bool { return slices.Contains(ids, id) && !slices.Contains(there, id) })
	for _, i := range s.instances {
		if i.busy == nil || len(i.busy.done) > 0 || len(s.traffic.in(i.link, waiting)) > 0 {
			continue
		}
		at := s.traffic.in(i.link, sent)
		if len(at) == 0 || slices.ContainsFunc(at, func(c *conn) bool { return !slices.Contains(blocked, c.session) }) {
			moving = true
		}
	}
	for _, c := range s.traffic.in(nil, lost) {
		moving = moving || !slices.Contains(blocked, c.session)
	}
	return moving || s.answered(), nil
}

// answered reports whether a call ended meanwhile.
func (s *schedule) answered() bool {
	return slices.ContainsFunc(s.instances, func(i *instance) bool { return i.busy != nil && len(i.busy.done) > 0 })
}

// ended hands out an answer. One that failed may still take effect, until its
// requests have arrived and its sessions ended.
func (s *schedule) ended(r *running, got model.Answer) error {
	if r.hit && got.Failed() {
		r.tell(s)
		s.undecided = append(s.undecided, r)
		return nil
	}
	return s.finish(r, got)
}

// overlapQuiesce lets all calls end, and all that is on its way arrive.
func (s *schedule) overlapQuiesce() error {
	for began := time.Now(); ; {
		if err := s.settle(); err != nil {
			return err
		}
		turns, arrivals := s.traffic.in(nil, waiting), s.traffic.in(nil, late)
		switch {
		case len(turns) > 0:
			turns[s.rng.IntN(len(turns))].decide(deliver)
		case len(arrivals) > 0:
			arrivals[s.rng.IntN(len(arrivals))].arrive()
		case s.busy() == 0 && len(s.traffic.in(nil, lost)) == 0:
			for _, r := range s.undecided {
				s.history.End(r.Call, s.world.Now)
			}
			s.undecided = nil
			return nil
		default:
			time.Sleep(time.Millisecond)
		}
		if time.Since(began) > patience {
			return fmt.Errorf("it does not come to an end: %s", s.history.String())
		}
	}
}
