package gate

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// keyCallers are the callers behind the virtual keys of a set that are good for a
// server.
type keyCallers struct {
	of      *identity.KeySet
	callers map[storage.Hash]*keyCaller
}

type keyCaller struct {
	tokens.Caller
	key *identity.Key
}

// callersOf returns them. A key has every scope there is to have.
func callersOf(set *identity.KeySet, s *config.Server) *keyCallers {
	scope := strings.Join(slices.Concat(s.Scopes, s.OptionalScopes), " ")
	all := &keyCallers{of: set, callers: make(map[storage.Hash]*keyCaller)}
	for i := range set.All() {
		k := &set.All()[i]
		if !k.Allows(s.ID) {
			continue
		}
		all.callers[k.Hash] = &keyCaller{tokens.Caller{
			GrantID: "vk:" + k.Name, Holder: "vk:" + k.Name + " " + k.HashProof(), Identity: k.Identity(), Scope: scope, TokenHash: k.Hash,
		}, k}
	}
	return all
}

// keyCaller returns the caller behind a virtual key that was not withdrawn, or
// nil. Keys change so seldom that what follows from them is kept.
func (g *Gate) keyCaller(h storage.Hash) *keyCaller {
	kept, set := g.callers.Load(), g.deps.Config.Keys.Set()
	if kept.of != set {
		kept = callersOf(set, g.server)
		g.callers.Store(kept)
	}
	return kept.callers[h]
}

// checkKey returns an error unless the key behind a caller is good now. Of one in
// the store it must be known that it is still there.
func (g *Gate) checkKey(c *keyCaller) error {
	if !c.key.Stored { // those of the configuration neither expire nor get lost
		return nil
	}
	now := g.deps.Now()
	switch {
	case c.key.Expired(now):
		return errInvalidToken
	case !g.deps.Config.Keys.Confirmed(now):
		return errKeysUnknown
	}
	return nil
}
