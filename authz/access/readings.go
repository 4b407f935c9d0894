package access

import (
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

// MaxName is the longest name or URI that is judged. Whatever is longer is denied.
const MaxName = 4096

// readings are the ways in which a server may read a name. Of most names all are
// the same text.
type readings struct {
	plain, folded string
	// Of a URI with several: ways are those in which an allowed one must be allowed, looks
	// what all look like, one of which is enough to be denied. tooMany tells that there
	// are more.
	ways    []reading
	looks   []string
	tooMany bool
}

func readingsOf(item *Item) (n readings) {
	n.plain, n.folded = item.Name, fold(item.Name)
	if !item.Kind.isURI() || isCleanURI(n.plain) {
		return n
	}
	read := readURI(n.plain, steps)
	n.ways = read.ways[:len(read.ways):len(read.ways)]
	read.follow(allSteps)
	n.looks, n.tooMany = read.looks(), read.tooMany
	return n
}

// fold returns what a name looks like: names that a server may take for each other,
// as it folds case, normalises Unicode or drops blanks, are the same.
func fold(name string) string {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' {
			return foldRest(name)
		}
	}
	return name
}

func foldRest(name string) string {
	name = strings.Map(func(r rune) rune {
		if identity.Invisible(r) {
			return -1
		}
		return r
	}, name)
	// Decomposed, so that what begins with the bytes of a pattern looks so, too, whatever
	// mark is on the letter before the star.
	return norm.NFD.String(strings.TrimSpace(spelling.Fold(name)))
}
