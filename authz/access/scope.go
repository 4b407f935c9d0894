package access

import (
	"slices"
	"strings"
)

// Scopes are what a call needs besides being allowed.
type Scopes struct {
	// Own are scopes of the token, Provider those of the account that the call carries, in
	// the words of its provider.
	Own, Provider []string
}

// Add adds what another call needs.
func (s *Scopes) Add(other Scopes) {
	s.Own, s.Provider = union(s.Own, other.Own), union(s.Provider, other.Provider)
}

func union(all, more []string) []string {
	for _, scope := range more {
		if !slices.Contains(all, scope) {
			all = append(slices.Clip(all), scope)
		}
	}
	return all
}

// asksScope reports whether a rule says which scopes a call needs, and decides nothing.
func (r *Rule) asksScope() bool { return r.Scope != "" || len(r.ProviderScopes) > 0 || len(r.Of) > 0 }

// scopeRule is a rule that says which scopes calls need.
type scopeRule struct {
	needs    Scopes
	patterns []*pattern
}

// checkScope returns what is wrong with a rule that says which scopes a call needs.
func (r *Rule) checkScope(kind Kind) *Error {
	switch {
	case len(r.Allow)+len(r.Deny)+len(r.Annotations)+len(r.For) > 0 || r.When != "":
		return &Error{Field: "scope", Text: "a rule either allows, denies or says which scope is needed, which holds for everybody; write two rules"}
	case r.Scope == "" && len(r.ProviderScopes) == 0:
		return &Error{Field: "scope", Text: "there is no scope; write scope <scope> <name>..."}
	case len(r.Of) == 0:
		return &Error{Field: "of", Text: "there are no names that need the scope; write some, or * for all"}
	}
	return r.checkNames(kind, "of")
}

func newScopeRule(kind Kind, r *Rule) scopeRule {
	s := scopeRule{needs: Scopes{Provider: r.ProviderScopes}}
	if r.Scope != "" {
		s.needs.Own = []string{r.Scope}
	}
	for _, text := range r.Of {
		s.patterns = append(s.patterns, newPattern(text, kind, false)) // also where it only looks so
	}
	return s
}

// Scopes returns which scopes a call of an item needs, in the order of the rules.
func (r *Rules) Scopes(kind Kind, name string) (needs Scopes) {
	if !r.Has(kind) || len((*r.of(kind)).scopes) == 0 {
		return needs
	}
	item := Item{Kind: kind, Name: name}
	names := readingsOf(&item)
	for _, s := range (*r.of(kind)).scopes {
		if slices.ContainsFunc(s.patterns, func(p *pattern) bool { return p.matches(&names) }) {
			needs.Add(s.needs)
		}
	}
	return needs
}

// AllScopes returns all scopes that rules ask for.
func (r *Rules) AllScopes() (all Scopes) {
	for _, kind := range []Kind{Tool, Resource, Prompt} {
		if r.Has(kind) {
			for _, s := range (*r.of(kind)).scopes {
				all.Add(s.needs)
			}
		}
	}
	return all
}

// scopeText is how a Caddyfile names the scopes of a rule.
func (r *Rule) scopeText() string {
	if len(r.ProviderScopes) == 0 {
		return r.Scope
	}
	return r.Scope + "=" + strings.Join(r.ProviderScopes, ",")
}
