package access

import "strings"

// glob is a text in which * stands for any run of characters.
type glob struct {
	text           string
	star           bool
	prefix, suffix string   // with a star: before the first and after the last
	middle         []string // between them, in order
}

func newGlob(text string) glob {
	g := glob{text: text}
	parts := strings.Split(text, "*")
	if len(parts) == 1 {
		return g
	}
	g.star, g.prefix, g.suffix = true, parts[0], parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		if part != "" {
			g.middle = append(g.middle, part)
		}
	}
	return g
}

func (g *glob) matches(name string) bool {
	if !g.star {
		return name == g.text
	}
	if len(name) < len(g.prefix)+len(g.suffix) || !strings.HasPrefix(name, g.prefix) || !strings.HasSuffix(name, g.suffix) {
		return false
	}
	name = name[len(g.prefix) : len(name)-len(g.suffix)]
	for _, part := range g.middle {
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name = name[at+len(part):]
	}
	return true
}

// pattern is one of the names of a rule, in the readings that what it is compared
// with has.
type pattern struct {
	allow  bool
	isURI  bool
	plain  glob // as it is written
	clean  glob // of a URI
	path   glob // of a URI, without query
	folded glob // what it looks like
	// foldedClean is of a URI
	foldedClean glob
}

func newPattern(text string, kind Kind, allow bool) *pattern {
	p := &pattern{allow: allow, isURI: kind.isURI(), plain: newGlob(text), folded: newGlob(fold(text))}
	if p.isURI {
		clean := cleanURI(text)
		p.clean, p.path, p.foldedClean = newGlob(clean), newGlob(cleanURI(withoutQuery(text))), newGlob(fold(clean))
	}
	return p
}

// matches reports whether the pattern stands for a name. An allowing one must fit
// the name as it is, and as a server may read it; one that denies must fit any of
// the ways to read it, in any case.
func (p *pattern) matches(n *readings) bool {
	if !p.allow {
		return p.folded.matches(n.folded) || p.isURI && (p.foldedClean.matches(n.foldedClean) || p.foldedClean.matches(n.foldedPath))
	}
	return p.plain.matches(n.plain) && (!p.isURI || n.isClean() || p.clean.matches(n.clean) && p.path.matches(n.path))
}
