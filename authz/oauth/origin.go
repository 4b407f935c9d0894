package oauth

import (
	"net/http"
	"slices"
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
