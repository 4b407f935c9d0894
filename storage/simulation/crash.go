package simulation

import "github.com/mcpoauth/caddy-mcp-oauth/storage"

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

// crashOne ends the process of an instance, wherever it is, and starts another one.
func (s *schedule) crashOne() error {
	i := s.instances[s.rng.IntN(len(s.instances))]
	s.unseen--
	s.history.Note(s.world.Now, "the process of instance %d crashes", i.number)
	i.link.kill(func() bool { return s.rng.IntN(2) == 0 })
	if r := i.busy; r != nil {
		i.busy = nil
		r.tell(s)
		s.undecided = append(s.undecided, r)
		r.cancel()
		if err := i.store.Close(); err != nil {
			return err
		}
		<-r.done
	} else if err := i.store.Close(); err != nil {
		return err
	}
	return s.open([]*instance{i})
}
