package gate

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// verdicts are what a gate found while the site had a set of virtual keys: keys
// decide who may pass, also with a token.
type verdicts struct {
	id      uint64 // unique in the process, never 0
	of      *identity.KeySet
	callers sync.Map // *identity.Key to *keyCaller, of the keys that were used
}

var lastVerdicts atomic.Uint64

// current returns what was found under the keys that there are now.
func (g *Gate) current() *verdicts {
	set := g.deps.Config.Keys.Set()
	found := g.found.Load()
	if found == nil || found.of != set {
		found = &verdicts{id: lastVerdicts.Add(1), of: set}
		g.found.Store(found)
	}
	return found
}

type keyCaller struct {
	tokens.Caller
	key *identity.Key
	// admitted tells that the rules of the server let the key use it.
	admitted bool
}

// newKeyCaller returns the caller behind a key. It has every scope there is to have.
func (g *Gate) newKeyCaller(k *identity.Key) *keyCaller {
	s := g.server
	c := &keyCaller{Caller: tokens.Caller{
		GrantID: "vk:" + k.Name, Holder: "vk:" + k.Name + " " + k.HashProof(), Identity: k.Identity(),
		Scope: strings.Join(slices.Concat(s.Scopes, s.OptionalScopes), " "), TokenHash: k.Hash,
	}, key: k}
	c.admitted = g.deps.Config.Admits(s, &c.Identity)
	return c
}

// keyCaller returns the caller behind a virtual key that was not withdrawn, or nil.
func (g *Gate) keyCaller(found *verdicts, h storage.Hash) *keyCaller {
	k := found.of.ByHash(h)
	if k == nil || !k.Allows(g.server.Configured().ID) {
		return nil
	}
	c, ok := found.callers.Load(k)
	if !ok {
		c, _ = found.callers.LoadOrStore(k, g.newKeyCaller(k))
	}
	if caller := c.(*keyCaller); caller.admitted {
		return caller
	}
	return nil
}

// strangeKey returns why what looks like no access token does not pass, and whose
// virtual key it is, if it is one that is good for other servers.
func (g *Gate) strangeKey(found *verdicts, h storage.Hash) (*tokens.Caller, error) {
	k := found.of.ByHash(h)
	if k == nil {
		return nil, notIssued
	}
	return &g.newKeyCaller(k).Caller, otherKey
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
		return expiredToken
	case !g.deps.Config.Keys.Confirmed(now):
		return errKeysUnknown
	}
	return nil
}
