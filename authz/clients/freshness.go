package clients

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	minFresh     = time.Minute
	maxFresh     = 24 * time.Hour
	defaultFresh = 5 * time.Minute
)

// freshness returns how long an answer may be kept (RFC 9111 section 4.2),
// within our bounds.
func freshness(h http.Header, now time.Time) time.Duration {
	fresh := defaultFresh
	if expires, err := http.ParseTime(h.Get("Expires")); err == nil {
		fresh = expires.Sub(now)
	}
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			fresh = seconds(strings.Trim(value, `"`)) - seconds(h.Get("Age"))
		}
	}
	return max(minFresh, min(fresh, maxFresh))
}

// seconds reads a number of seconds; what is no number counts as none.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
