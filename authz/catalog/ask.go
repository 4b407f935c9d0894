package catalog

import "time"

const (
	// maxAsked bounds for how many callers it is remembered that the server was asked.
	maxAsked = 1 << 12
	// AskAgain is how soon a server is asked again for what it did not list.
	AskAgain = time.Minute
)

// asking is a listing for one caller.
type asking struct {
	done chan struct{}
	at   time.Time
}

// Ask has the server asked for its list as a caller, unless it was lately. It returns
// when that is done; for a caller for whom it is being done, when that is. done ends
// the waiting of one who does not ask.
func (s *Server) Ask(caller string, now time.Time, done <-chan struct{}, ask func()) {
	s.mu.Lock()
	if a := s.asked[caller]; a != nil && now.Sub(a.at) < AskAgain {
		s.mu.Unlock()
		select {
		case <-a.done:
		case <-done:
		}
		return
	}
	s.forget(now)
	a := &asking{make(chan struct{}), now}
	s.asked[caller] = a
	s.mu.Unlock()
	defer close(a.done)
	ask()
}

// forget makes room for one more caller.
func (s *Server) forget(now time.Time) {
	if len(s.asked) < maxAsked {
		return
	}
	oldest := ""
	for caller, a := range s.asked {
		switch {
		case now.Sub(a.at) >= AskAgain:
			delete(s.asked, caller)
		case oldest == "" || a.at.Before(s.asked[oldest].at):
			oldest = caller
		}
	}
	if len(s.asked) >= maxAsked {
		delete(s.asked, oldest)
	}
}
