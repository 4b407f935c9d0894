package database

import (
	"testing"
	"time"
)

// A probe of a database that is far away has as long as it usually takes, several
// times; but people wait for it, so it is bounded.
func TestProbeWithin(t *testing.T) {
	for usual, want := range map[time.Duration]time.Duration{
		0: time.Second, 200 * time.Millisecond: time.Second, 500 * time.Millisecond: 2 * time.Second,
		4 * time.Second: 3 * time.Second, time.Minute: 3 * time.Second,
	} {
		d := new(Database)
		d.usual.Store(int64(usual))
		if got := d.probeWithin(); got != want {
			t.Errorf("it usually takes %v: a probe has %v, want %v", usual, got, want)
		}
	}
}
