package gate

import (
	"slices"
	"strings"
	"sync"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// keyCallers are the callers behind the virtual keys of a set at a server, each
// made when its key is first used there.
type keyCallers struct {
	of      *identity.KeySet
	callers sync.Map // *identity.Key to *keyCaller
}

type keyCaller struct {
	tokens.Caller
	key *identity.Key
}

// newKeyCaller returns the caller behind a key at a server. It has every scope
// there is to have.
func newKeyCaller(k *identity.Key, s *config.Server) *keyCaller {
	return &keyCaller{tokens.Caller{
		GrantID: "vk:" + k.Name, Holder: "vk:" + k.Name + " " + k.HashProof(), Identity: k.Identity(),
		Scope: strings.Join(slices.Concat(s.Scopes, s.OptionalScopes), " "), TokenHash: k.Hash,
	}, k}
}

// keyCaller returns the caller behind a virtual key that was not withdrawn, or
// nil. Keys change so seldom that what follows from them is kept.
func (g *Gate) keyCaller(h storage.Hash) *keyCaller {
	set := g.deps.Config.Keys.Set()
	k := set.ByHash(h)
	if k == nil || !k.Allows(g.server.ID) {
		return nil
	}
	kept := g.callers.Load()
	if kept == nil || kept.of != set {
		kept = &keyCallers{of: set}
		g.callers.Store(kept)
	}
	c, ok := kept.callers.Load(k)
	if !ok {
		c, _ = kept.callers.LoadOrStore(k, newKeyCaller(k, g.server))
	}
	return c.(*keyCaller)
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
