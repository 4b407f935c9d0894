package pgstore

import (
	"sync/atomic"
	"time"
)

// clock translates between the time of this instance, which callers give and
// get, and that of the database, which is what is stored: several instances may
// disagree by minutes, and a record must end for all of them at once.
//
// The difference counts in whole seconds, and below two of them not at all:
// clocks that are kept by NTP agree, and a measurement takes a round trip.
type clock struct{ seconds atomic.Int64 }

func (c *clock) offset() time.Duration { return time.Duration(c.seconds.Load()) * time.Second }

// measured notes what the database's clock showed between two of ours, unless it
// took so long, as while a connection is waited for, that it says little.
func (c *clock) measured(before, database, after time.Time) {
	if after.Sub(before) > time.Second {
		return
	}
	ahead := database.Sub(before.Add(after.Sub(before) / 2)).Round(time.Second)
	if ahead.Abs() < 2*time.Second {
		ahead = 0
	}
	c.seconds.Store(int64(ahead / time.Second))
}

func (c *clock) toDatabase(times ...*time.Time) { shift(c.offset(), times) }

func (c *clock) fromDatabase(times ...*time.Time) { shift(-c.offset(), times) }

// shift moves times, but for the zero one, which means none.
func shift(by time.Duration, times []*time.Time) {
	if by == 0 {
		return
	}
	for _, t := range times {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
}
