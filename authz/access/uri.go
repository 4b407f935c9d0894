package access

import (
	"slices"
	"strings"
)

// reading is one way to read a URI. In a folded one, characters that look alike are the
// same.
type reading struct {
	text   string
	folded bool
}

// uriReadings are the ways in which a URI can be read.
type uriReadings struct {
	ways    []reading
	tooMany bool
}

// maxReadings bounds what it costs to judge a URI. One that somebody means has a few; one
// with more is denied.
const maxReadings = 64

// readURI returns a URI in all ways in which servers read it that take some of the steps,
// in whatever order, and may fold.
func readURI(uri string, steps []func(string) string) *uriReadings {
	r := &uriReadings{ways: []reading{{text: uri}}}
	r.follow(steps)
	return r
}

// follow adds what the steps make of the readings there are.
func (r *uriReadings) follow(steps []func(string) string) {
	for i := 0; i < len(r.ways); i++ {
		from := r.ways[i]
		for _, step := range steps {
			to := step(from.text)
			if from.folded {
				to = fold(to)
			}
			r.add(from, reading{to, from.folded})
		}
		if !from.folded {
			r.add(from, reading{fold(from.text), true})
		}
	}
}

func (r *uriReadings) add(from, to reading) {
	switch {
	case to.text == from.text, slices.Contains(r.ways, to):
	case len(r.ways) == maxReadings:
		r.tooMany = true
	default:
		r.ways = append(r.ways, to)
	}
}

// looks returns what the readings look like, with and without the slash at their end.
func (r *uriReadings) looks() []string {
	looks := make([]string, 0, len(r.ways))
	for _, way := range r.ways {
		look := fold(way.text)
		for _, text := range []string{look, strings.TrimRight(look, "/")} {
			if !slices.Contains(looks, text) {
				looks = append(looks, text)
			}
		}
	}
	return looks
}

// isCleanURI reports whether a URI has one reading only. Most have.
func isCleanURI(uri string) bool {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found || rest == "" || scheme == "file" && rest[0] != '/' {
		return false
	}
	for i := range len(scheme) {
		if c := scheme[i]; (c < 'a' || 'z' < c) && (c < '0' || '9' < c) && c != '-' {
			return false
		}
	}
	if host, _, _ := strings.Cut(rest, "/"); !isPlainHost(host) && host != "" {
		return false
	}
	inAuthority := true
	for i := range len(rest) {
		next := byte('/') // what ends a segment
		if i+1 < len(rest) {
			next = rest[i+1]
		}
		switch c := rest[i]; {
		case c <= ' ', c >= 0x7f, c == '%', c == '\\', c == '?', c == '#', c == ';', c == '+', c == '$':
			return false
		case c == '/':
			inAuthority = false
			if next == '/' || next == '.' { // also the slash at the end
				return false
			}
		case c == '.' && next == '/':
			return false
		case inAuthority && ('A' <= c && c <= 'Z' || c == '@' || c == ':'):
			return false
		}
	}
	return true
}
