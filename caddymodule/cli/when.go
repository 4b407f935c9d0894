package cli

import (
	"fmt"
	"time"
)

// when says when something was or will be, by the clock and as seen from now.
func when(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	at := t.Local().Format("2006-01-02 15:04")
	if ago := now.Sub(t); ago >= 0 {
		return at + " (" + roughly(ago) + " ago)"
	}
	return at + " (in " + roughly(t.Sub(now)) + ")"
}

// roughly says how long something is.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return plural(int(d/time.Second), "second")
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute")
	case d < 2*day:
		return plural(int(d/time.Hour), "hour")
	}
	return plural(int(d/day), "day")
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}
