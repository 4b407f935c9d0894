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
	// named has the patterns without a star, by what they look like; allowed and denied
	// those with one, by the byte that names begin with for which they stand, folded ones
	// if they deny; globs all others. Each is in the order of the rules, so that of the
	// rules that are about other items only few are looked at.
	named           map[string][]placed
	allowed, denied map[byte][]placed
	globs           []placed
	// scopes are those rules that say which scopes calls need. Their places among the
	// rules match nothing.
	scopes []scopeRule
	// open tells that there are no others, so that everything is allowed.
	open bool
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
	*pattern
}

func newRuleset(kind Kind, rules []Rule) (*ruleset, error) {
	s := &ruleset{named: map[string][]placed{}, allowed: map[byte][]placed{}, denied: map[byte][]placed{}, open: true}
	for i := range rules {
		if rules[i].asksScope() {
			if err := rules[i].checkScope(kind); err != nil {
				err.Index = i
				return nil, err
			}
			s.rules, s.scopes = append(s.rules, rule{Rule: &rules[i]}), append(s.scopes, newScopeRule(kind, &rules[i]))
			continue
		}
		s.open = false
		r, err := compile(kind, &rules[i])
		if err != nil {
			err.Index = i
			return nil, err
		}
		s.rules = append(s.rules, r)
		for _, text := range r.patterns() {
			s.place(placed{i, newPattern(text, kind, r.allow)})
		}
	}
	return s, nil
}

func (s *ruleset) place(p placed) {
	switch {
	case !p.plain.star:
	case p.allow && p.plain.prefix != "":
		first := p.plain.prefix[0]
		s.allowed[first] = append(s.allowed[first], p)
		return
	case !p.allow && p.folded.prefix != "" && !p.isURI:
		first := p.folded.prefix[0]
		s.denied[first] = append(s.denied[first], p)
		return
	default:
		s.globs = append(s.globs, p)
		return
	}
	looks := []string{p.folded.text}
	for i := range p.looks {
		if look := p.looks[i].text; !slices.Contains(looks, look) {
			looks = append(looks, look)
		}
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
	if err := configured.checkNames(kind, ""); err != nil {
		return r, err
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
	if s.open {
		d.Allowed = true
		return d
	}
	if len(item.Name) > MaxName {
		return d
	}
	names := readingsOf(item)
	if names.tooMany {
		return d
	}
	candidates := s.candidates(&names)
	for globs := s.globs; ; {
		next := candidates.next()
		for len(globs) > 0 && globs[0].at <= next.at {
			glob := &globs[0]
			globs = globs[1:]
			if glob.matches(&names) && s.rules[glob.at].applies(who, item, &d) {
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

// candidates are the rules that name an item, or how its name begins, by each way to read
// it.
type candidates [4][]placed

func (s *ruleset) candidates(n *readings) (c candidates) {
	c[0] = s.named[n.folded]
	for _, look := range n.looks {
		c[1] = append(c[1], s.named[look]...)
	}
	slices.SortFunc(c[1], func(a, b placed) int { return a.at - b.at })
	if n.plain != "" {
		c[2] = s.allowed[n.plain[0]]
	}
	if n.folded != "" {
		c[3] = s.denied[n.folded[0]]
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
	if s.open {
		return false
	}
	for i := range s.rules {
		r := &s.rules[i]
		switch {
		case r.asksScope(), !r.people.Match(who):
		case r.allow:
			return false
		case r.with|r.without == 0 && r.when == nil && r.coversAll():
			return true
		}
	}
	return true
}

func (r *rule) coversAll() bool {
	return slices.ContainsFunc(r.patterns(), isAll)
}
