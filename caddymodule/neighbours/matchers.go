package neighbours

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
)

// verdict says which requests of a host and path something matches.
type verdict int

const (
	never verdict = iota
	sometimes
	always
)

// matches reports which requests of this host and path a route is for.
func (w *walk) matches(sets caddyhttp.MatcherSets, r *http.Request) verdict {
	if len(sets) == 0 {
		return always
	}
	best := never
	for _, set := range sets {
		best = max(best, w.matchesAll(set, r))
	}
	return best
}

func (w *walk) matchesAll(set caddyhttp.MatcherSet, r *http.Request) verdict {
	least := always
	for _, m := range set {
		least = min(least, w.judge(m, r))
	}
	return least
}

// judge reports which requests of this host and path one matcher is for.
func (w *walk) judge(m any, r *http.Request) verdict {
	switch m := m.(type) {
	case misdirected:
		return never
	case *caddyhttp.MatchNot:
		worst := never
		for _, set := range m.MatcherSets {
			worst = max(worst, w.matchesAll(set, r))
		}
		return always - worst
	case *fileserver.MatchFile:
		if n := len(m.TryFiles); n > 1 && !strings.Contains(m.TryFiles[n-1], "{") {
			return always // in the end to a file which is there, as with try_files {path} /index.html
		}
		return sometimes
	}
	if !w.byHostAndPath(m) {
		return sometimes
	}
	if match(m, r) {
		return always
	}
	return never
}

// byHostAndPath reports whether only host and path decide about a matcher, or the
// method where that is known.
func (w *walk) byHostAndPath(m any) bool {
	module, ok := m.(caddy.Module)
	if !ok {
		return false
	}
	switch module.CaddyModule().ID {
	case "http.matchers.path", "http.matchers.path_regexp":
		return true
	case "http.matchers.host":
		return !w.anyHost
	case "http.matchers.method":
		return w.methodIsKnown
	}
	return false
}

func match(m any, r *http.Request) bool {
	if m, ok := m.(caddyhttp.RequestMatcherWithError); ok {
		matched, err := m.MatchWithError(r)
		return matched || err != nil
	}
	older, ok := m.(interface{ Match(*http.Request) bool })
	return !ok || older.Match(r)
}
