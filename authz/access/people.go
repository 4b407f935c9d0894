package access

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Who wants to use something.
type Who struct {
	Identity *storage.Identity
	// Name is what rules may call them by, with user: and in conditions: one that
	// nobody else can have. Empty if there is none.
	Name string
	// Client is the id of the client that calls for them, empty for a virtual key.
	Client string
	// AnyClient tells that Client is not known yet, and may be any.
	AnyClient bool
	// Chosen is what the person lets the client use of the server.
	Chosen *Chosen
}

// key returns the name of the virtual key that somebody is, or "".
func (w *Who) key() string {
	if w.Identity.Kind != string(identity.VirtualKey) {
		return ""
	}
	return w.Identity.Name
}

// People choose who may use something. Nil choose everybody.
type People struct {
	told    *identity.Rules // by what an identity provider says of them
	users   map[string]bool // by name, or by subject
	keys    map[string]bool
	clients map[string]bool
	anybody bool // nothing but clients
}

// ParsePeople reads whom a rule is for: what identity.ParseRules reads, and
// user:NAME, key:NAME and client:ID. None give nil.
func ParsePeople(texts []string) (*People, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	p := new(People)
	var told []string
	for _, text := range texts {
		kind, value, _ := strings.Cut(text, ":")
		switch kind {
		case "group", "domain", "email", "claim":
			told = append(told, text)
			continue
		}
		set := map[string]*map[string]bool{"user": &p.users, "key": &p.keys, "client": &p.clients}[kind]
		switch {
		case set == nil:
			return nil, fmt.Errorf("%q: unknown kind %q; use group:, domain:, email:, claim:, user:, key: or client:", text, kind)
		case value == "" || strings.TrimSpace(value) != value:
			return nil, fmt.Errorf("%q: there is no name after the colon; write %s:<name>", text, kind)
		}
		add(set, value)
		if kind == "user" && IsAddress(value) { // the name of whom a provider knows
			told = append(told, "email:"+value)
		}
	}
	var err error
	p.told, err = identity.ParseRules(told)
	p.anybody = p.told == nil && len(p.users)+len(p.keys) == 0
	return p, err
}

// add adds to a set, which is nil as long as nothing is in it: looking into that
// costs a decision nothing.
func add(set *map[string]bool, value string) {
	if *set == nil {
		*set = map[string]bool{}
	}
	(*set)[value] = true
}

// IsAddress reports whether a name is an e-mail address.
func IsAddress(name string) bool {
	_, err := identity.ParseRules([]string{"email:" + name})
	return err == nil
}

// Match reports whether somebody is chosen.
func (p *People) Match(w *Who) bool {
	return p == nil || p.matchClient(w) && (p.anybody || p.matchPerson(w))
}

func (p *People) matchClient(w *Who) bool {
	return len(p.clients) == 0 || w.AnyClient || p.clients[w.Client]
}

func (p *People) matchPerson(w *Who) bool {
	if len(p.users) > 0 && (p.users[w.Identity.Subject] || w.Name != "" && p.users[w.Name] && !IsSubject(w.Name)) {
		return true
	}
	if len(p.keys) > 0 && p.keys[w.key()] {
		return true
	}
	return p.told != nil && p.told.Match(w.Identity.Claims)
}

// IsSubject reports whether a name reads like the subject of somebody: it begins
// with a way to sign in.
func IsSubject(name string) bool {
	kind, _, found := strings.Cut(name, ":")
	return found && slices.Contains(kinds, kind)
}

var kinds = func() (names []string) {
	for _, m := range identity.Builtin(identity.Options{}) {
		names = append(names, string(m.Kind))
	}
	return append(names, "oidc", string(identity.Client), string(identity.Workload))
}()

// Needs returns what has to be known of people.
func (p *People) Needs() identity.Needs {
	if p == nil {
		return identity.Needs{}
	}
	return p.told.Needs()
}

// Clients reports whether clients are named.
func (p *People) Clients() bool { return p != nil && len(p.clients) > 0 }

// Keys reports whether virtual keys are named.
func (p *People) Keys() bool { return p != nil && len(p.keys) > 0 }

// Users returns the names after user:, in order.
func (p *People) Users() []string {
	if p == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(p.users))
}
