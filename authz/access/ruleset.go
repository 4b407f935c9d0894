package access

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// ruleset is the rules for items of one kind, in order.
type ruleset struct {
	rules []rule
	// named has the patterns without a star, by what they look like; globs those with
	// one. Both are in the order of their rules, so that of the rules that are about
	// other items only those with a star are looked at.
	named map[string][]placed
	globs []placed
}

// rule is a rule, compiled.
type rule struct {
	*Rule
	allow         bool
	with, without Annotations
	people        *People
	when          *condition
}

// placed is a pattern and the position of its rule.
type placed struct {
	at int
	// first is the byte that names begin with which it stands for, folded ones if it
	// denies; 0 for any. It spares a look at most patterns.
	first  byte
	denies bool
	*pattern
}

func newPlaced(at int, p *pattern) placed {
	prefix := p.plain.prefix
	if !p.allow {
		prefix = p.folded.prefix
	}
	placed := placed{at: at, denies: !p.allow, pattern: p}
	if prefix != "" && (p.allow || !p.isURI) {
		placed.first = prefix[0]
	}
	return placed
}

// begins reports whether a name begins as those that the pattern stands for.
func (p *placed) begins(n *readings) bool {
	name := n.plain
	if p.denies {
		name = n.folded
	}
	return p.first == 0 || name != "" && name[0] == p.first
}

func newRuleset(kind Kind, rules []Rule) (*ruleset, error) {
	s := &ruleset{named: map[string][]placed{}}
	for i := range rules {
		r, err := compile(kind, &rules[i])
		if err != nil {
			err.Index = i
			return nil, err
		}
		s.rules = append(s.rules, r)
		for _, text := range r.patterns() {
			s.place(newPlaced(i, newPattern(text, kind, r.allow)))
		}
	}
	return s, nil
}

func (s *ruleset) place(p placed) {
	if p.plain.star {
		s.globs = append(s.globs, p)
		return
	}
	looks := []string{p.folded.text}
	if p.isURI && p.foldedClean.text != p.folded.text {
		looks = append(looks, p.foldedClean.text)
	}
	for _, look := range looks {
		s.named[look] = append(s.named[look], p)
	}
}

func compile(kind Kind, configured *Rule) (rule, *Error) {
	r := rule{Rule: configured, allow: len(configured.Allow) > 0}
	if (len(configured.Deny) > 0) == r.allow {
		return r, &Error{Text: "a rule either allows or denies; write what it allows, or what it denies"}
	}
	if slices.Contains(r.patterns(), "") {
		return r, &Error{Text: "a name is empty; write one, or * for all"}
	}
	for _, word := range configured.Annotations {
		hint, known := hints[word]
		switch {
		case !known:
			return r, &Error{Field: "annotations", Text: fmt.Sprintf("unknown annotation %q; use one of: %s", word, strings.Join(AnnotationWords, ", "))}
		case kind != Tool:
			return r, &Error{Field: "annotations", Text: fmt.Sprintf("only tools have annotations; remove %s", word)}
		}
		r.with, r.without = r.with|hint.with, r.without|hint.without
	}
	var err error
	if r.people, err = ParsePeople(configured.For); err != nil {
		return r, &Error{Field: "for", Text: err.Error()}
	}
	if configured.When != "" {
		if r.when, err = newCondition(configured.When, kind); err != nil {
			return r, &Error{Field: "when", Text: err.Error()}
		}
	}
	return r, nil
}

func (s *ruleset) decide(who *Who, item *Item) (d Decision) {
	if len(item.Name) > maxName {
		return d
	}
	names := readingsOf(item)
	candidates := s.candidates(&names)
	for globs := s.globs; ; {
		next := candidates.next()
		for len(globs) > 0 && globs[0].at <= next.at {
			glob := &globs[0]
			globs = globs[1:]
			if glob.begins(&names) && glob.matches(&names) && s.rules[glob.at].applies(who, item, &d) {
				return d
			}
		}
		if next.pattern == nil {
			return d
		}
		if next.matches(&names) && s.rules[next.at].applies(who, item, &d) {
			return d
		}
	}
}

// candidates are the rules that name an item, by each way to read its name.
type candidates [3][]placed

func (s *ruleset) candidates(n *readings) (c candidates) {
	c[0] = s.named[n.folded]
	if n.clean != "" && !n.isClean() {
		c[1], c[2] = s.named[n.foldedClean], s.named[n.foldedPath]
	}
	return c
}

// next takes the first of them; the pattern is nil after the last.
func (c *candidates) next() placed {
	first, from := placed{at: math.MaxInt}, -1
	for i := range c {
		if len(c[i]) > 0 && c[i][0].at < first.at {
			first, from = c[i][0], i
		}
	}
	if from >= 0 {
		c[from] = c[from][1:]
	}
	return first
}

// applies reports whether a rule whose pattern stands for an item decides about it,
// and if so how.
func (r *rule) applies(who *Who, item *Item, d *Decision) bool {
	if !r.people.Match(who) {
		return false
	}
	if r.with|r.without != 0 {
		d.NeedsAnnotations = d.NeedsAnnotations || item.Annotations&Known == 0
		if item.Annotations&r.with != r.with || item.Annotations&r.without != 0 {
			return false
		}
	}
	if !r.holds(who, item, d) {
		return false
	}
	d.Allowed, d.Rule = r.allow, r.Rule
	return true
}

// holds reports whether the condition of the rule does. Where that cannot be told,
// nothing is allowed by it, and it denies.
func (r *rule) holds(who *Who, item *Item, d *Decision) bool {
	if r.when == nil {
		return true
	}
	switch r.when.ask(who, item) {
	case yes:
		return true
	case open:
		d.NeedsArguments = true
		return r.allow
	case failed:
		return !r.allow
	}
	return false
}

func (s *ruleset) nothing(who *Who) bool {
	for i := range s.rules {
		r := &s.rules[i]
		switch {
		case !r.people.Match(who):
		case r.allow:
			return false
		case r.with|r.without == 0 && r.when == nil && r.coversAll():
			return true
		}
	}
	return true
}

func (r *rule) coversAll() bool {
	for _, text := range r.patterns() {
		if strings.Trim(text, "*") == "" {
			return true
		}
	}
	return false
}
