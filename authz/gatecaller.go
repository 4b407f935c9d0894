package authz

import (
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Caller is who makes a call that passed. It is shared between the calls of
// one token and read-only.
type Caller struct {
	// GrantID is "vk:" and the key's name for a virtual key as bearer.
	GrantID  string
	ClientID string // empty for a virtual key
	Identity storage.Identity
	Scope    string // space-separated
	// TokenHash is what Recheck takes to ask again later.
	TokenHash storage.Hash
	// Values holds what a web server tells of the call in placeholders,
	// variables and log fields. They are of type any already, so that filling
	// a table of any with them allocates nothing.
	Values CallerValues
}

// CallerValues are strings: the fields of a Caller, by the name they have there.
type CallerValues struct {
	GrantID, ClientID, Subject, Name, Scope any
}

// boxed fills Values.
func (c Caller) boxed() Caller {
	c.Values = CallerValues{
		GrantID: c.GrantID, ClientID: c.ClientID,
		Subject: c.Identity.Subject, Name: c.Identity.Name, Scope: c.Scope,
	}
	return c
}

// newCaller returns the caller behind an access token.
func newCaller(h storage.Hash, t *storage.AccessToken) Caller {
	c := Caller{
		GrantID: t.GrantID, ClientID: t.ClientID, Identity: t.Identity,
		Scope: strings.Join(t.Scope, " "), TokenHash: h,
	}
	return c.boxed()
}

// keyCallers returns the callers behind the virtual keys that are good for the
// server. A key has every scope there is to have.
func keyCallers(keys *identity.VirtualKeys, s *Server) map[storage.Hash]*Caller {
	scope := strings.Join(append(append([]string(nil), s.Scopes...), s.OptionalScopes...), " ")
	callers := make(map[storage.Hash]*Caller)
	for k := range keys.All() {
		if !k.Allows(s.ID) {
			continue
		}
		c := Caller{GrantID: "vk:" + k.Name, Identity: k.Identity(), Scope: scope, TokenHash: k.Hash}.boxed()
		callers[k.Hash] = &c
	}
	return callers
}
