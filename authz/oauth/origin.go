package oauth

import (
	"net/http"
	"slices"
	"strings"
)

// Origins are the web origins whose pages may call a site: its own, those of
// this machine, and the listed ones.
type Origins struct {
	Site   string
	Listed []string
}

// Allows reports whether pages of the origin may call. It compares bytes:
// browsers serialise origins in one form (RFC 6454 section 6.2). "null" is the
// origin of anybody's sandboxed page.
func (o Origins) Allows(origin string) bool {
	return origin == o.Site || isLoopbackOrigin(origin) || slices.Contains(o.Listed, origin)
}

// FromForeignPage reports whether a browser sent the request for a web page
// that may not call. Browsers name a page's origin in every POST to another one,
// and say how other requests came about.
func (o Origins) FromForeignPage(r *http.Request) bool {
	if origins := r.Header["Origin"]; len(origins) > 0 {
		return len(origins) > 1 || !o.Allows(origins[0])
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return true
	}
	return false
}

// IsNavigation reports whether a browser asks for a page to show in its window:
// somebody opened the address. Programs never say so, and scripts cannot (Fetch
// metadata); what an older browser sends is no different from a program's.
func IsNavigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" &&
		strings.HasPrefix(r.Header.Get("Accept"), "text/html")
}
