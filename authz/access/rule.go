package access

import (
	"slices"
	"strings"
)

// Rule is one access rule of a server, as it is configured. The first that matches
// decides. One with a scope decides nothing.
type Rule struct {
	// Allow are names of what may be used, with `*` for any characters: of tools or
	// prompts, or URIs of resources. A rule has either Allow, Deny or Of.
	Allow []string `json:"allow,omitempty"`
	// Deny are names of what may not be used. They stand for names and URIs that
	// only look different, too, such as those in other case.
	Deny []string `json:"deny,omitempty"`
	// Annotations are what the server must say of a tool for the rule to match, all
	// of: `read_only` or `changing`, `destructive` or `not_destructive`, `idempotent` or
	// `not_idempotent`, `closed_world` or `open_world`. Of what it does not say, MCP's
	// defaults hold: changing, destructive, not idempotent, open world. Default: any.
	Annotations []string `json:"annotations,omitempty"`
	// For are the people and clients for whom the rule is: `group:<name>`,
	// `domain:<domain of the e-mail address>`, `email:<address>` or
	// `claim:<name>=<value>` of what an identity provider says of them, `user:<name>`,
	// `key:<name of a virtual key>`, one of which must fit; and `client:<id>`, one of
	// which must fit too, if there is any. Default: everybody.
	For []string `json:"for,omitempty"`
	// When is a CEL expression that must be true for the rule to match, such as
	// `tool.args.database != "prod"`. Default: none.
	When string `json:"when,omitempty"`
	// Scope is the scope that a token needs for calls of what Of names. A client without
	// it is told to ask for it. It becomes one of the server's optional scopes.
	Scope string `json:"scope,omitempty"`
	// ProviderScopes are the scopes that the account of the caller needs there, as its
	// provider calls them. Who lacks one is asked to connect the account with it.
	ProviderScopes []string `json:"provider_scopes,omitempty"`
	// Of are names of what needs the scopes. They stand for names and URIs that only look
	// different, too.
	Of []string `json:"of,omitempty"`
}

// String returns the rule as in a Caddyfile.
func (r *Rule) String() string {
	effect := []string{"allow"}
	switch {
	case len(r.Deny) > 0:
		effect[0] = "deny"
	case r.asksScope():
		effect = []string{"scope", r.scopeText()}
	}
	words := slices.Concat(effect, r.patterns(), r.Annotations, r.For)
	for i, word := range words {
		if word == "" || strings.ContainsAny(word, " \t\"`{}") {
			words[i] = `"` + strings.ReplaceAll(word, `"`, `\"`) + `"`
		}
	}
	if r.When != "" {
		words = append(words, "when `"+r.When+"`")
	}
	return strings.Join(words, " ")
}

func (r *Rule) patterns() []string {
	switch {
	case len(r.Deny) > 0:
		return r.Deny
	case r.asksScope():
		return r.Of
	}
	return r.Allow
}

// hints are what an annotation that a rule names asks for: bits that must be there,
// and bits that must not.
var hints = map[string]struct{ with, without Annotations }{
	"read_only": {with: ReadOnly}, "changing": {without: ReadOnly},
	"not_destructive": {with: NotDestructive}, "destructive": {without: NotDestructive},
	"idempotent": {with: Idempotent}, "not_idempotent": {without: Idempotent},
	"closed_world": {with: ClosedWorld}, "open_world": {without: ClosedWorld},
}

// AnnotationWords are the annotations that a rule can name, in order.
var AnnotationWords = []string{
	"read_only", "changing", "not_destructive", "destructive", "idempotent", "not_idempotent", "closed_world", "open_world",
}
