package access

import (
	"fmt"
	"slices"
	"strings"
)

// Warning is about a rule that can never match.
type Warning struct {
	Index int // of the rule
	Text  string
}

// Warnings returns which rules can never match, because of what they say or because
// one before them matches whatever they do.
func Warnings(rules []Rule) []Warning {
	var warnings []Warning
	for i := range rules {
		r := &rules[i]
		if a, b := contradiction(r.Annotations); a != "" {
			warnings = append(warnings, Warning{i, fmt.Sprintf("`%s` never matches: no tool is both %s and %s", r, a, b)})
			continue
		}
		for j := range i {
			if rules[j].covers(r) {
				warnings = append(warnings, Warning{i, fmt.Sprintf("`%s` never decides: `%s` before it matches whatever it does", r, &rules[j])})
				break
			}
		}
	}
	return warnings
}

// contradiction returns two annotations of which no tool has both. One that changes
// nothing destroys nothing either, and can be called twice.
func contradiction(words []string) (a, b string) {
	for _, pair := range [][2]string{
		{"read_only", "changing"}, {"not_destructive", "destructive"}, {"idempotent", "not_idempotent"}, {"closed_world", "open_world"},
		{"read_only", "destructive"}, {"read_only", "not_idempotent"},
	} {
		if slices.Contains(words, pair[0]) && slices.Contains(words, pair[1]) {
			return pair[0], pair[1]
		}
	}
	return "", ""
}

// covers reports whether a rule matches whatever another does.
func (r *Rule) covers(other *Rule) bool {
	return r.namesAll(other) && coversAll(r.For, other.For) &&
		isSubset(r.Annotations, other.Annotations) && (r.When == "" || r.When == other.When)
}

func (r *Rule) namesAll(other *Rule) bool {
	return !slices.ContainsFunc(other.patterns(), func(name string) bool {
		return !slices.ContainsFunc(r.patterns(), func(p string) bool {
			g := newGlob(p)
			return g.matches(name) // a star in the name can only be where the pattern has one
		})
	})
}

// coversAll reports whether whoever fits one list of people and clients fits another.
func coversAll(all, others []string) bool {
	people, clients := split(all)
	otherPeople, otherClients := split(others)
	return coversAny(people, otherPeople) && coversAny(clients, otherClients)
}

func split(all []string) (people, clients []string) {
	for _, text := range all {
		if strings.HasPrefix(text, "client:") {
			clients = append(clients, text)
		} else {
			people = append(people, text)
		}
	}
	return people, clients
}

func coversAny(any, others []string) bool {
	return len(any) == 0 || len(others) > 0 && isSubset(others, any)
}

func isSubset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(x string) bool { return !slices.Contains(b, x) })
}
