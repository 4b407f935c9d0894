package gate

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// keyCallers returns the callers behind the virtual keys that are good for the
// server. A key has every scope there is to have.
func keyCallers(keys *identity.VirtualKeys, s *config.Server) map[storage.Hash]*tokens.Caller {
	scope := strings.Join(slices.Concat(s.Scopes, s.OptionalScopes), " ")
	callers := make(map[storage.Hash]*tokens.Caller)
	for k := range keys.All() {
		if !k.Allows(s.ID) {
			continue
		}
		id := k.Identity()
		callers[k.Hash] = &tokens.Caller{
			GrantID: "vk:" + k.Name, Holder: "vk:" + k.Name + " " + id.Proof, Identity: id, Scope: scope, TokenHash: k.Hash,
		}
	}
	return callers
}
