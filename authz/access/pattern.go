package access

import (
	"slices"
	"strings"
)

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
	folded glob // what it looks like
	// Of a URI that is allowed: in the ways that it can be read itself, and folded ones.
	ways, foldedWays []glob
	// looks are of a URI that is denied: what it looks like in one spelling, with and
	// without the slash at the end.
	looks []glob
}

func newPattern(text string, kind Kind, allow bool) *pattern {
	p := &pattern{allow: allow, isURI: kind.isURI(), plain: newGlob(text), folded: newGlob(fold(text))}
	switch {
	case !p.isURI:
	case allow:
		for _, way := range readURI(text, steps).ways {
			if way.folded {
				p.foldedWays = append(p.foldedWays, newGlob(way.text))
			} else {
				p.ways = append(p.ways, newGlob(way.text))
			}
		}
		if len(p.foldedWays) == 0 { // it is folded already
			p.foldedWays = p.ways
		}
	default:
		clean := fold(oneSpelling(text))
		p.looks = append(p.looks, newGlob(clean))
		if bare, ok := strings.CutSuffix(clean, "/"); ok && !strings.HasSuffix(bare, "*") { // which would be for more
			p.looks = append(p.looks, newGlob(bare))
		}
	}
	return p
}

// matches reports whether the pattern stands for a name. An allowing one must fit
// the name as it is, and in each way a server may read it; one that denies must fit any
// of the ways to read it, in any case.
func (p *pattern) matches(n *readings) bool {
	if p.allow {
		return p.plain.matches(n.plain) && (!p.plain.star || !p.isURI || p.fitsAll(n))
	}
	if n.tooMany || p.folded.matches(n.folded) {
		return true
	}
	for i := range p.looks {
		if p.looks[i].matches(n.folded) || slices.ContainsFunc(n.looks, p.looks[i].matches) {
			return true
		}
	}
	return p.isURI && slices.ContainsFunc(n.looks, p.folded.matches)
}

// fitsAll reports whether the pattern fits all ways to read a URI.
func (p *pattern) fitsAll(n *readings) bool {
	if n.tooMany {
		return false
	}
	for i := range n.ways {
		globs := p.ways
		if n.ways[i].folded {
			globs = p.foldedWays
		}
		if !slices.ContainsFunc(globs, func(g glob) bool { return g.matches(n.ways[i].text) }) {
			return false
		}
	}
	return true
}
