package access

import (
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

// Rules are the access rules of one server. Nil has none, and allows everything.
type Rules struct {
	tools, resources, prompts *ruleset
}

// Error is an error in a rule.
type Error struct {
	Index int    // of the rule
	Field string // of the rule: allow, deny, annotations, for, when, scope or of; "" for all of it
	Text  string
}

func (e *Error) Error() string { return e.Text }

// Add has the rules for items of a kind. Errors are of type *Error.
func (r *Rules) Add(kind Kind, rules []Rule) error {
	if len(rules) == 0 {
		return nil
	}
	set, err := newRuleset(kind, rules)
	if err == nil {
		*r.of(kind) = set
	}
	return err
}

func (r *Rules) of(kind Kind) **ruleset {
	switch kind {
	case Tool:
		return &r.tools
	case Prompt:
		return &r.prompts
	default:
		return &r.resources
	}
}

// Decide returns whether somebody may use an item. The first rule that matches
// decides; where there are rules for items of the kind and none matches, it is
// denied. What a person did not choose is denied all the same. It allocates nothing that
// grows with the number of rules. It is safe for concurrent use.
func (r *Rules) Decide(who Who, item Item) (d Decision) {
	if r.Has(item.Kind) {
		d = (*r.of(item.Kind)).decide(&who, &item)
	} else {
		d.Allowed = true
	}
	who.Chosen.limit(&item, &d)
	return d
}

// Has reports whether there are rules for items of a kind. Without, lists of them
// need not be read.
func (r *Rules) Has(kind Kind) bool { return r != nil && *r.of(kind) != nil }

// Nothing reports whether somebody may use nothing of a kind, whatever it is called and
// whatever the server says of it.
func (r *Rules) Nothing(who Who, kind Kind) bool {
	if kind == Tool && who.Chosen.nothing() {
		return true
	}
	return r.Has(kind) && (*r.of(kind)).nothing(&who)
}

// NothingAtAll reports whether that is so of all kinds.
func (r *Rules) NothingAtAll(who Who) bool {
	return r.Nothing(who, Tool) && r.Nothing(who, Resource) && r.Nothing(who, Prompt)
}

// Needs returns what has to be known of people to decide.
func (r *Rules) Needs() (needs identity.Needs) {
	for _, kind := range []Kind{Tool, Resource, Prompt} {
		if !r.Has(kind) {
			continue
		}
		for _, rule := range (*r.of(kind)).rules {
			needs.Add(rule.people.Needs())
			if rule.when != nil {
				needs.Add(rule.when.needs)
			}
		}
	}
	return needs
}

// People returns for whom each of the rules for a kind is, nil for everybody.
func (r *Rules) People(kind Kind) []*People {
	if !r.Has(kind) {
		return nil
	}
	var all []*People
	for _, rule := range (*r.of(kind)).rules {
		all = append(all, rule.people)
	}
	return all
}
