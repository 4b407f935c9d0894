package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a duration as Caddy reads and writes it: a number of nanoseconds,
// or a text such as "15m", "1h" or "30d".
type Duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(data []byte) error {
	text, quoted := strings.CutPrefix(string(data), `"`)
	if !quoted {
		return json.Unmarshal(data, (*time.Duration)(d))
	}
	parsed, err := ParseDuration(strings.Trim(text, `"`))
	*d = Duration(parsed)
	return err
}

func (Duration) describe() string { return `a duration, such as "15m", "1h" or "30d"` }

const maxDurationLen = 1024

var daysPattern = regexp.MustCompile(`[-+.0-9]+d`)

// ParseDuration reads a duration that can be in days of 24 hours, too.
func ParseDuration(text string) (time.Duration, error) {
	if len(text) > maxDurationLen {
		return 0, errors.New("a duration is too long")
	}
	return time.ParseDuration(daysPattern.ReplaceAllStringFunc(text, func(days string) string {
		n, err := strconv.ParseFloat(strings.TrimSuffix(days, "d"), 64)
		if err != nil {
			return days // which is no duration
		}
		return strconv.FormatFloat(n*24, 'f', -1, 64) + "h"
	}))
}

// days writes a duration as people write it in a configuration.
func days(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= unit.length && d%unit.length == 0 {
			return fmt.Sprintf("%d%s", d/unit.length, unit.name)
		}
	}
	return d.String()
}

// TooShort says how long a duration must be at least.
func TooShort(least time.Duration) string { return "must be at least " + days(least) }
