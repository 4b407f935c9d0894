package authz

import (
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Caller is who makes a call that passed. It is shared between the calls of
// one token and read-only.
type Caller struct {
	// GrantID is "vk:" and the key's name for a virtual key as bearer.
	GrantID string
	// Holder is whom an MCP session belongs to: the grant or, for a virtual key,
	// this very key. Its name may have another one later.
	Holder   string
	ClientID string // empty for a virtual key
	Identity storage.Identity
	Scope    string // space-separated
	// TokenHash and ExpiresAt, of the token, are what Recheck takes to ask again
	// later.
	TokenHash storage.Hash
	ExpiresAt time.Time // zero for a virtual key
}

// newCaller returns the caller behind an access token.
func newCaller(h storage.Hash, t *storage.AccessToken) Caller {
	return Caller{
		GrantID: t.GrantID, Holder: t.GrantID, ClientID: t.ClientID, Identity: t.Identity,
		Scope: strings.Join(t.Scope, " "), TokenHash: h, ExpiresAt: t.ExpiresAt,
	}
}

// keyCallers returns the callers behind the virtual keys that are good for the
// server. A key has every scope there is to have.
func keyCallers(keys *identity.VirtualKeys, s *Server) map[storage.Hash]*Caller {
	scope := strings.Join(slices.Concat(s.Scopes, s.OptionalScopes), " ")
	callers := make(map[storage.Hash]*Caller)
	for k := range keys.All() {
		if !k.Allows(s.ID) {
			continue
		}
		id := k.Identity()
		callers[k.Hash] = &Caller{
			GrantID: "vk:" + k.Name, Holder: "vk:" + k.Name + " " + id.Proof, Identity: id, Scope: scope, TokenHash: k.Hash,
		}
	}
	return callers
}
