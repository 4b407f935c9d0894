package database

import (
	"strings"
	"testing"
	"time"
)

var someTime = time.Date(2026, 11, 28, 8, 0, 0, 5, time.UTC)

// Clocks that agree to a second are the same; others are told apart exactly.
func TestClock(t *testing.T) {
	at := someTime
	for ahead, want := range map[time.Duration]time.Duration{
		0: 0, 1400 * time.Millisecond: 0, -1400 * time.Millisecond: 0,
		10*time.Minute + 100*time.Millisecond: 10 * time.Minute, -3 * time.Second: -3 * time.Second,
	} {
		var c Clock
		c.Measured(at, at.Add(ahead), at)
		if got := c.Offset(); got != want {
			t.Errorf("%v ahead: offset %v, want %v", ahead, got, want)
		}
		moved, zero := at, time.Time{}
		c.ToDatabase(&moved, &zero)
		if !moved.Equal(at.Add(want)) || !zero.IsZero() {
			t.Errorf("%v ahead: %v, %v", ahead, moved, zero)
		}
		if c.FromDatabase(&moved); !moved.Equal(at) {
			t.Errorf("%v ahead: there and back is %v", ahead, moved)
		}
	}
}

// measurement is one that took so long, of a clock that was so far ahead when it was read.
type measurement struct {
	took, read, ahead time.Duration
}

func (m measurement) of(c *Clock, at time.Time) {
	c.Measured(at, at.Add(m.read+m.ahead), at.Add(m.took))
}

// A measurement that took long counts where it says more than what is known, and not
// where it agrees with a better one.
func TestSlowMeasurements(t *testing.T) {
	const far = 10 * time.Minute
	for name, tt := range map[string]struct {
		all  []measurement
		want time.Duration
	}{
		"nothing else is known":             {[]measurement{{4 * time.Second, 3 * time.Second, far}}, far + time.Second},
		"a better one is":                   {[]measurement{{0, 0, far}, {8 * time.Second, 8 * time.Second, far}}, far},
		"a better one comes":                {[]measurement{{8 * time.Second, 8 * time.Second, far}, {2 * time.Second, time.Second, far}}, far},
		"an exact one comes":                {[]measurement{{8 * time.Second, 8 * time.Second, far}, {time.Second, time.Second / 2, far}}, far},
		"a better one is known, and wrong":  {[]measurement{{0, 0, far}, {8 * time.Second, 5 * time.Second, -far}}, 1*time.Second - far},
		"it took as long as nothing should": {[]measurement{{0, 0, far}, {time.Hour, time.Minute, far}}, far},
		"our clock was set back meanwhile":  {[]measurement{{-time.Minute, 0, far}}, far},
	} {
		var c Clock
		for i, m := range tt.all {
			m.of(&c, someTime.Add(time.Duration(i)*time.Minute))
		}
		if got := c.Offset(); got != tt.want {
			t.Errorf("%s: offset %v, want %v", name, got, tt.want)
		}
	}
}

// However long the database takes, the offset is never further from the truth than that.
func TestSlowDatabase(t *testing.T) {
	for _, ahead := range []time.Duration{10 * time.Minute, -10 * time.Minute, 0} {
		var c Clock
		for i := range 200 {
			took := time.Duration(2+i*7%8) * time.Second
			read := took * time.Duration(i*3%5) / 4
			measurement{took, read, ahead}.of(&c, someTime.Add(time.Duration(i)*5*time.Second))
			if off := (c.Offset() - ahead).Abs(); off > 10*time.Second {
				t.Fatalf("%v ahead, measurement %d: offset %v", ahead, i, c.Offset())
			}
		}
		if off := (c.Offset() - ahead).Abs(); off > 2*time.Second { // the best of them took two
			t.Errorf("%v ahead: offset %v in the end", ahead, c.Offset())
		}
	}
}

// An operator reads once that the database always takes long, and not where it does now
// and then.
func TestSlowDatabaseIsSaidOnce(t *testing.T) {
	var told []string
	c := Clock{Warn: func(text string) { told = append(told, text) }}
	at := someTime
	measure := func(took time.Duration, times int) {
		for range times {
			measurement{took, took, 0}.of(&c, at)
			at = at.Add(took + 5*time.Second)
		}
	}
	for range 20 {
		measure(3*time.Second, 7)
		measure(time.Second, 1)
	}
	if len(told) != 0 {
		t.Errorf("told %q of a database that takes long now and then", told)
	}
	measure(3*time.Second, 30)
	measure(time.Second, 1)
	measure(3*time.Second, 30)
	if len(told) != 1 || !strings.Contains(told[0], "more than 1s to answer each time") || !strings.Contains(told[0], "about 1.5s") {
		t.Errorf("told %q, want it once", told)
	}
	(&Clock{}).Measured(at, at, at.Add(time.Hour)) // nobody is told
}
