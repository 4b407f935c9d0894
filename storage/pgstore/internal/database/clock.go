package database

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Clock translates between the time of this instance, which callers give and
// get, and that of the database, which is what is stored: several instances may
// disagree by minutes, and a record must end for all of them at once.
//
// The difference counts in whole seconds, and below two of them not at all:
// clocks that are kept by NTP agree, and a measurement takes a round trip.
type Clock struct {
	// Warn, unless nil, is told in words, once, of a database that always takes too long
	// to be measured.
	Warn func(text string)

	seconds atomic.Int64

	mu sync.Mutex // guards all below
	// within is how far seconds may be off by the time that its measurement took; 0
	// while there was none.
	within time.Duration
	slow   time.Time // since when each measurement takes long; zero if the last one did not
	warned bool
}

const (
	// exactWithin is the longest that a measurement takes which says all that counts.
	exactWithin = time.Second
	// negligible is the difference below which clocks agree.
	negligible = 2 * time.Second
	// slowFor is how long measurements have to take long before that is said: while much
	// is done at once, they may.
	slowFor = time.Minute
)

// Offset is how far the database's clock is ahead.
func (c *Clock) Offset() time.Duration { return time.Duration(c.seconds.Load()) * time.Second }

// Measured notes what the database's clock showed between two of ours. What took long
// only tells between which bounds the difference is: it counts where nothing better is
// known, or what is known lies beyond them. So an instance whose database always takes
// long is off by half of that, and never by what its clock is.
func (c *Clock) Measured(before, database, after time.Time) {
	took := max(0, after.Sub(before))
	ahead, within := database.Sub(before.Add(took/2)), max(1, took/2)
	c.mu.Lock()
	defer c.mu.Unlock()
	exact := took <= exactWithin
	c.noteSlow(exact, within, after)
	agrees := (c.Offset() - ahead).Abs() <= within+negligible
	if !exact && c.within != 0 && c.within <= within && agrees {
		return
	}
	c.within = within
	c.Set(ahead)
}

// Set has the database's clock be so far ahead until it is measured.
func (c *Clock) Set(ahead time.Duration) {
	if ahead = ahead.Round(time.Second); ahead.Abs() < negligible {
		ahead = 0
	}
	c.seconds.Store(int64(ahead / time.Second))
}

func (c *Clock) noteSlow(exact bool, within time.Duration, now time.Time) {
	switch {
	case exact:
		c.slow = time.Time{}
	case c.slow.IsZero():
		c.slow = now
	case !c.warned && now.Sub(c.slow) >= slowFor && c.Warn != nil:
		c.warned = true
		c.Warn(fmt.Sprintf("the database takes more than %v to answer each time, so how far its clock is ahead is only known to about %v: "+
			"what ends may end so much earlier or later at this instance than at others; look at the network, and at what the database is busy with",
			exactWithin, within.Round(100*time.Millisecond)))
	}
}

// ToDatabase makes times of ours those of the database.
func (c *Clock) ToDatabase(times ...*time.Time) { shift(c.Offset(), times) }

// FromDatabase makes times of the database ours.
func (c *Clock) FromDatabase(times ...*time.Time) { shift(-c.Offset(), times) }

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
