package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

// whomKinds are what those begin with, before the colon, whom a rule is for.
var whomKinds = []string{"group", "domain", "email", "claim", "user", "key", "client"}

// IsWhom reports whether a word says whom a rule is for. What goes on with // is a URI.
func IsWhom(word string) bool {
	kind, value, found := strings.Cut(word, ":")
	return found && slices.Contains(whomKinds, kind) && !strings.HasPrefix(value, "//")
}

// conditionWords are those with which people begin or join conditions.
var conditionWords = []string{"if", "unless", "when", "and", "or"}

// mistakenName says why a name in a rule is most probably none, or returns "". What is
// taken for a name, though it was meant to narrow the rule, would let more be used by
// more people.
func mistakenName(kind Kind, name string, names []string) string {
	switch annotation := annotationOf(name); {
	case name == "":
		return "a name is empty; write one, or * for all"
	case IsWhom(name):
		return fmt.Sprintf("%s says whom the rule is for; write the names first, or * for all", name)
	case kind != Tool && slices.Contains(AnnotationWords, name):
		return fmt.Sprintf("only tools have annotations; remove %s", name)
	case annotation == name:
		return fmt.Sprintf("%s is an annotation; write the names first, or * for all", name)
	case kind == Tool && annotation != "":
		return fmt.Sprintf("%q looks like an annotation; did you mean %s?", name, annotation)
	case kind == Tool && whomWithEquals(name) != "":
		return fmt.Sprintf("%q is no name; write %s for whom the rule is", name, whomWithEquals(name))
	case slices.Contains(conditionWords, name), kind == Tool && strings.ContainsAny(name, " \t\"'`="):
		return fmt.Sprintf("%q is no name; conditions begin with when, and are in backquotes: when `tool.args.x == \"y\"`", name)
	case kind == Prompt && strings.ContainsAny(name, "\"'`="):
		return fmt.Sprintf("%q is no name; conditions begin with when, and are in backquotes: when `prompt.args.x == \"y\"`", name)
	}
	// Some servers put a colon into all of their names.
	someHaveNone := slices.ContainsFunc(names, func(n string) bool { return !strings.Contains(n, ":") })
	if whom, _, found := strings.Cut(name, ":"); found && someHaveNone && (!kind.isURI() || !strings.Contains(name, "://")) {
		if near := spelling.Nearest(whom, whomKinds); near != "" {
			return fmt.Sprintf("%q looks like whom the rule is for; did you mean %s:?", name, near)
		}
	}
	if isAll(name) || !slices.ContainsFunc(names, isAll) {
		return ""
	}
	if near := spelling.Nearest(name, AnnotationWords); near != "" && kind == Tool {
		return fmt.Sprintf("%q is beside *, which stands for all names; did you mean %s?", name, near)
	}
	return fmt.Sprintf("%q is beside *, which stands for all names; remove one of them", name)
}

// whomWithEquals returns what was most probably meant by group=x, or "".
func whomWithEquals(name string) string {
	if kind, value, found := strings.Cut(name, "="); found && value != "" && IsWhom(kind+":"+value) && !strings.ContainsAny(value, " \t\"'`=") {
		return kind + ":" + value
	}
	return ""
}

// isAll reports whether a name stands for all.
func isAll(name string) bool { return name != "" && strings.Trim(name, "*") == "" }

// annotationOf returns the annotation that a word is but for case and what joins its
// parts, or "".
func annotationOf(word string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	at := slices.IndexFunc(AnnotationWords, func(a string) bool { return plain(a) == plain(word) })
	if at < 0 {
		return ""
	}
	return AnnotationWords[at]
}

// checkNames returns what is wrong with the names of a rule.
func (r *Rule) checkNames(kind Kind, field string) *Error {
	names := r.patterns()
	for _, name := range names {
		if text := mistakenName(kind, name, names); text != "" {
			return &Error{Field: field, Text: text}
		}
	}
	return nil
}
