package model

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// NextShared makes up an operation of what only stores have that several processes
// share. It draws from rng, so that the others are the same without.
func (w *World) NextShared(rng *rand.Rand) *Operation {
	op := takeRates(rng, w.Now)
	if rng.IntN(3) == 0 {
		op = instances(rng, w.Now)
	}
	op.areas = areas[op.Verb]
	return op
}

// takeRates counts an event towards the rate of one address, and often of all.
func takeRates(rng *rand.Rand, now time.Time) *Operation {
	names := []string{[]string{"address-1", "address-2"}[rng.IntN(2)]}
	if rng.IntN(3) > 0 {
		names = append(names, "all")
	}
	rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	perMinute := map[string]int{"address-1": 2, "address-2": 2, "all": 3}
	now = now.Truncate(time.Microsecond)
	return &Operation{
		Verb: "TakeRates", Args: strings.Join(names, ", "),
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			var rates []storage.Rate
			for _, name := range names {
				rates = append(rates, storage.Rate{Key: hash(name), PerMinute: perMinute[name]})
			}
			return found(s.(storage.RateStore).TakeRates(ctx, rates))
		},
		// An event whose answer got lost may count again, so that there may be fewer than
		// the rate, and never more.
		Apply: func(s *state, got *Answer) error {
			fresh := true
			for _, name := range names {
				fresh = fresh && s.rates[name].IsZero()
				if s.rates[name].IsZero() {
					s.rates[name] = Base.AddDate(-1, 0, 0)
				}
			}
			switch {
			case got == nil || got.err != nil:
				return got.isDone()
			case !got.value.(bool) && fresh:
				return fmt.Errorf("nobody came before, and it is refused")
			case !got.value.(bool):
				return nil
			}
			for _, name := range names {
				cost := time.Minute / time.Duration(perMinute[name])
				until := latest(s.rates[name], now).Add(cost)
				if until.After(now.Add(time.Minute)) {
					return fmt.Errorf("%s: one more than %d in a minute", name, perMinute[name])
				}
				s.rates[name] = until
			}
			return nil
		},
	}
}

// instances says that a process is at work, or leaves.
func instances(rng *rand.Rand, now time.Time) *Operation {
	id := fmt.Sprint("instance-", rng.IntN(3))
	if rng.IntN(4) == 0 {
		return &Operation{
			Verb: "LeaveInstance", Args: id,
			Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
				return done(s.(storage.InstanceStore).LeaveInstance(ctx, id))
			},
			Apply: func(s *state, got *Answer) error {
				delete(s.instances, id)
				return got.isDone()
			},
		}
	}
	within := time.Minute
	return &Operation{
		Verb: "AnnounceInstance", Args: id,
		Do: func(ctx context.Context, s storage.Store, _ Clock) Answer {
			all, err := s.(storage.InstanceStore).AnnounceInstance(ctx, storage.Instance{ID: id}, within)
			return found(names(all, func(i storage.Instance) string { return i.ID }), err)
		},
		Apply: func(s *state, got *Answer) error {
			s.instances[id] = now
			return got.lists(sorted(s.instances, func(seen time.Time) bool { return now.Sub(seen) <= within }))
		},
	}
}
