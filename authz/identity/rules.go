package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Rules choose people by what their identity provider says of them. One that
// matches is enough. Nil rules choose everybody, empty ones nobody.
type Rules struct {
	texts                   []string
	groups, domains, emails map[string]bool
	claims                  map[string][]string // values by name
}

// ParseRules reads rules: group:NAME, domain:example.com, email:jane@example.com
// and claim:NAME=VALUE. None give nil.
func ParseRules(texts []string) (*Rules, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	r := &Rules{texts: slices.Clone(texts), groups: map[string]bool{}, domains: map[string]bool{}, emails: map[string]bool{}, claims: map[string][]string{}}
	for _, text := range texts {
		if err := r.add(text); err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
	}
	return r, nil
}

func (r *Rules) add(text string) error {
	kind, value, _ := strings.Cut(text, ":")
	if value == "" || strings.TrimSpace(value) != value {
		return errors.New("not a rule; write group:staff, domain:example.com, email:jane@example.com or claim:department=sales")
	}
	switch kind {
	case "group":
		r.groups[value] = true
	case "domain":
		domain, ok := PlainDomain(value)
		if !ok {
			return errors.New("not a domain of e-mail addresses; write one such as domain:example.com, each subdomain by itself, and other scripts as xn--…")
		}
		r.domains[domain] = true
	case "email":
		email, ok := foldEmail(value)
		if !ok {
			return errors.New("not an e-mail address; write one such as email:jane@example.com")
		}
		r.emails[email] = true
	case "claim":
		name, want, _ := strings.Cut(value, "=")
		if name == "" || want == "" {
			return errors.New("a claim has a name and a value; write claim:department=sales")
		}
		r.claims[name] = append(r.claims[name], want)
	default:
		return fmt.Errorf("unknown kind %q; use group:, domain:, email: or claim:", kind)
	}
	return nil
}

// Match reports whether a rule chooses a person. Of nobody without claims is
// anything known.
func (r *Rules) Match(c *storage.Claims) bool {
	switch {
	case r == nil:
		return true
	case c == nil:
		return false
	}
	if len(r.groups) > 0 && slices.ContainsFunc(c.Groups, func(g string) bool { return r.groups[g] }) {
		return true
	}
	return r.matchEmail(c.Email) || r.matchClaims(c.Extra)
}

func (r *Rules) matchEmail(email string) bool {
	if len(r.emails)+len(r.domains) == 0 {
		return false
	}
	folded, ok := foldEmail(email)
	if !ok {
		return false
	}
	_, domain, _ := strings.Cut(folded, "@")
	return r.emails[folded] || r.domains[domain]
}

func (r *Rules) matchClaims(extra map[string]json.RawMessage) bool {
	for name, wanted := range r.claims {
		if raw := extra[name]; raw != nil && hasValue(raw, wanted) {
			return true
		}
	}
	return false
}

// hasValue reports whether a claim is one of the values, or a list with one of
// them. A number or boolean is as it is written in JSON. This is asked at every
// call; of what people mostly have, texts, nothing is decoded.
func hasValue(raw json.RawMessage, wanted []string) bool {
	return hasText(raw, wanted) || hasDecoded(raw, wanted)
}

// hasText reports whether a text without escapes, or a list of such texts, has one
// of the values. Of everything else it does not say.
func hasText(raw json.RawMessage, wanted []string) bool {
	if bytes.IndexByte(raw, '\\') >= 0 || bytes.IndexByte(raw, '{') >= 0 || bytes.LastIndexByte(raw, '[') > 0 {
		return false
	}
	for {
		start := bytes.IndexByte(raw, '"')
		if start < 0 {
			return false
		}
		raw = raw[start+1:]
		end := bytes.IndexByte(raw, '"')
		if end < 0 {
			return false
		}
		for _, want := range wanted {
			if want == string(raw[:end]) {
				return true
			}
		}
		raw = raw[end+1:]
	}
}

func hasDecoded(raw json.RawMessage, wanted []string) bool {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	return slices.ContainsFunc(list, func(element json.RawMessage) bool {
		var text string
		if err := json.Unmarshal(element, &text); err != nil {
			text = strings.TrimSpace(string(element))
			if strings.ContainsAny(text, "{[") || text == "null" {
				return false
			}
		}
		return text != "" && slices.Contains(wanted, text)
	})
}

// Needs are what has to be known of people to judge them.
type Needs struct {
	Email, Groups bool
	Claims        []string // names
}

// Add adds what something else needs.
func (n *Needs) Add(other Needs) {
	n.Email, n.Groups = n.Email || other.Email, n.Groups || other.Groups
	n.Claims = append(slices.Clip(n.Claims), other.Claims...)
}

// Needs returns what the rules are about; of claims the names in order.
func (r *Rules) Needs() Needs {
	if r == nil {
		return Needs{}
	}
	return Needs{Email: len(r.emails)+len(r.domains) > 0, Groups: len(r.groups) > 0, Claims: slices.Sorted(maps.Keys(r.claims))}
}

// String returns the rules in order: those that choose the same people read the
// same.
func (r *Rules) String() string {
	if r == nil {
		return ""
	}
	sorted := slices.Sorted(slices.Values(r.texts))
	return strings.Join(slices.Compact(sorted), "\n")
}

// foldEmail returns an address in lower case, if it has exactly one @ between a
// name and a domain, all of them in ASCII: whatever else is possible, mail servers
// and programs do not agree on it.
func foldEmail(email string) (string, bool) {
	email = strings.ToLower(email)
	name, domain, found := strings.Cut(email, "@")
	return email, found && name != "" && oauth.VisibleASCII(email) && !strings.ContainsAny(email, `"(),:;<>[\]`) && isPlainDomain(domain)
}

// EmailDomain returns the domain of an e-mail address in lower case, unless mail
// servers and programs do not agree on what it is.
func EmailDomain(email string) (domain string, ok bool) {
	folded, ok := foldEmail(email)
	_, domain, _ = strings.Cut(folded, "@")
	return domain, ok
}

// PlainDomain returns a domain in lower case, if it is one in ASCII.
func PlainDomain(domain string) (string, bool) {
	domain = strings.ToLower(domain)
	return domain, isPlainDomain(domain)
}

// isPlainDomain reports whether a text is a domain of several labels, in ASCII and
// lower case.
func isPlainDomain(domain string) bool {
	labels := 0
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		labels++
	}
	return labels > 1
}
