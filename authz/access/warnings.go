package access

import (
	"fmt"
	"slices"
	"strings"
)

// Warning is about a rule that can never match, or without which nothing is allowed
// that was meant to be.
type Warning struct {
	Index int // of the rule
	Text  string
}

// Warnings returns which rules can never match, because of what they say or because
// one before them matches whatever they do, and whether there are none that allow.
func Warnings(rules []Rule) []Warning {
	var warnings []Warning
	for i := range rules {
		r := &rules[i]
		if r.asksScope() {
			continue
		}
		if a, b := contradiction(r.Annotations); a != "" {
			warnings = append(warnings, Warning{i, fmt.Sprintf("it never matches: no tool is both %s and %s", a, b)})
			continue
		}
		for j := range i {
			if !rules[j].asksScope() && rules[j].covers(r) {
				warnings = append(warnings, Warning{i, fmt.Sprintf("it never decides: `%s` before it matches whatever it does", &rules[j])})
				break
			}
		}
	}
	if i := deniesOnly(rules); i >= 0 {
		warnings = append(warnings, Warning{i, "nothing is allowed, as what no rule names is denied, too; write `allow *` behind the last deny"})
	}
	return warnings
}

// deniesOnly returns the last rule that denies, if there are such, none of them denies
// all, and none allows anything; else -1.
func deniesOnly(rules []Rule) int {
	last := -1
	for i := range rules {
		r := &rules[i]
		switch {
		case r.asksScope():
		case len(r.Allow) > 0 || slices.ContainsFunc(r.patterns(), isAll):
			return -1
		default:
			last = i
		}
	}
	return last
}

// Unmatched returns which names in rules for items of a kind stand for none of those
// that a server has.
func Unmatched(kind Kind, rules []Rule, names []string) (warnings []Warning) {
	all := make([]readings, len(names))
	for i, name := range names {
		all[i] = readingsOf(&Item{Kind: kind, Name: name})
	}
	for i := range rules {
		for _, text := range rules[i].patterns() {
			p := newPattern(text, kind, len(rules[i].Allow) > 0)
			if !slices.ContainsFunc(all, func(n readings) bool { return p.matches(&n) }) {
				warnings = append(warnings, Warning{i, fmt.Sprintf("`%s` matches no %s that the server listed", text, kind)})
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
	people, clients := splitPeople(all)
	otherPeople, otherClients := splitPeople(others)
	return coversAny(people, otherPeople) && coversAny(clients, otherClients)
}

func splitPeople(all []string) (people, clients []string) {
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
