package cli

import (
	"testing"
	"time"
)

func TestWhen(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.Local)
	for in, want := range map[time.Duration]string{
		0:                    "2026-11-28 12:00 (0 seconds ago)",
		-time.Second:         "2026-11-28 11:59 (1 second ago)",
		-119 * time.Second:   "2026-11-28 11:58 (1 minute ago)",
		-3 * time.Hour:       "2026-11-28 09:00 (3 hours ago)",
		-36 * time.Hour:      "2026-11-27 00:00 (36 hours ago)",
		90 * 24 * time.Hour:  "2027-02-26 12:00 (in 90 days)",
		30*time.Minute + 1e9: "2026-11-28 12:30 (in 30 minutes)",
	} {
		if got := when(now.Add(in), now); got != want {
			t.Errorf("%s from now: got %q, want %q", in, got, want)
		}
	}
	if got := when(time.Time{}, now); got != "" {
		t.Errorf("got %q for no time", got)
	}
}
