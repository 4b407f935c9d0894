package model

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (w *World) sweep() *Operation {
	now := w.Now
	return &Operation{
		Verb: "Sweep",
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			_, err := s.Sweep(ctx, k.At(now))
			return done(err)
		},
		Apply: func(s *state, got *Answer) error {
			for k, c := range s.connections {
				if c.expires.IsZero() || there(c.expires, now) {
					continue
				}
				// Records are swept by the second, so that this one may be left.
				certain := got != nil && now.Sub(c.expires) >= 2*time.Second
				s.queueExpired(c, now, !certain)
				if certain {
					delete(s.connections, k)
				}
			}
			return got.isDone()
		},
	}
}

func (w *World) check() *Operation {
	return &Operation{
		Verb: "Check", Reads: true,
		Do:    func(ctx context.Context, s storage.Store, _ Clock) Answer { return done(s.Check(ctx)) },
		Apply: func(_ *state, got *Answer) error { return got.isDone() },
	}
}

func (w *World) empty() *Operation {
	now := w.Now
	return &Operation{
		Verb: "Empty", Reads: true,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			empty, err := s.Empty(ctx)
			return found(empty, err)
		},
		Apply: func(s *state, got *Answer) error {
			if got == nil || got.err != nil {
				return got.isDone()
			}
			if got.value.(bool) && s.holdsSomething(now) {
				return fmt.Errorf("empty, and it is not")
			}
			return nil
		},
	}
}

func (s *state) holdsSomething(now time.Time) bool {
	if len(s.keys) > 0 || len(s.upstream) > 0 {
		return true
	}
	for _, c := range s.clients {
		if there(c.expires, now) {
			return true
		}
	}
	for _, f := range s.flows {
		if there(f.expires, now) {
			return true
		}
	}
	for _, g := range s.grants {
		if there(g.expires, now) {
			return true
		}
	}
	return false
}

func (w *World) usage() *Operation {
	now := w.Now
	return &Operation{
		Verb: "Usage", Reads: true, Alone: true,
		Do: func(ctx context.Context, s storage.Store, k Clock) Answer {
			u, err := s.Usage(ctx, k.At(now))
			return found(u, err)
		},
		Apply: func(s *state, got *Answer) error {
			if got == nil || got.err != nil {
				return got.isDone()
			}
			revocations := 0
			for _, r := range s.revocations {
				if !r.maybe && there(r.expires, now) {
					revocations++
				}
			}
			if u := got.value.(storage.Usage); u.Revocations < revocations {
				return fmt.Errorf("%d revocations, want at least %d", u.Revocations, revocations)
			}
			return nil
		},
	}
}

// handOut moves on the revocations that were handed out.
func (s *state) handOut(handed listed, limit int, now, retry time.Time) error {
	if len(handed) > limit {
		return fmt.Errorf("%d were handed out, want at most %d", len(handed), limit)
	}
	for _, id := range handed {
		if r, known := s.revocations[id]; !known || !r.mayBeDue(now) {
			return fmt.Errorf("%s was handed out, and is not due", id)
		}
	}
	for id, r := range s.revocations {
		switch {
		case slices.Contains(handed, id):
			if r.maybe {
				s.swept(id)
			}
			s.revocations[id] = revocation{due: retry, expires: r.expires, attempts: r.attempts + 1}
		case len(handed) == limit || r.maybe || !r.mayBeDue(now):
		case r.later.After(now): // there was room for it, so it was put off before
			r.due, r.later = r.later, time.Time{}
			s.revocations[id] = r
		default:
			return fmt.Errorf("%s is due, and was not handed out", id)
		}
	}
	return nil
}

// handOutUnseen is handOut where nobody saw which were handed out. Beyond the limit,
// each may have been or not.
func (s *state) handOutUnseen(limit int, now, retry time.Time) {
	due := 0
	for _, r := range s.revocations {
		if r.mayBeDue(now) {
			due++
		}
	}
	for id, r := range s.revocations {
		switch {
		case !r.mayBeDue(now) || r.maybe: // which is as open as before
			continue
		case due > limit:
			r.later = latest(r.later, retry)
		case r.later.After(now): // it was put off, or is now
			r.due = retry
			if r.later.Before(r.due) {
				r.due, r.later = r.later, r.due
			}
		default:
			r = revocation{due: retry, expires: r.expires, attempts: r.attempts + 1}
		}
		s.revocations[id] = r
	}
}

// mayBeDue reports whether a revocation may be handed out.
func (r revocation) mayBeDue(now time.Time) bool { return !r.due.After(now) && there(r.expires, now) }
