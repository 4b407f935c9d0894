package tokens

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Caller is who makes a call that passed. It is shared between the calls of
// one token and read-only.
type Caller struct {
	// GrantID is "vk:" and the key's name for a virtual key as bearer.
	GrantID string
	// Holder is whom an MCP session belongs to: the grant, or the service person
	// behind a client or, for a virtual key, this very key. Its name may have another
	// one later.
	Holder   string
	ClientID string // empty for a virtual key
	Identity storage.Identity
	Scope    string // space-separated
	// Choices are what the person lets the client use of the resources of the token.
	Choices access.Choices
	// TokenHash and ExpiresAt, of the token, are what Recheck takes to ask again
	// later.
	TokenHash storage.Hash
	ExpiresAt time.Time // zero for a virtual key
	// Contents are those of the record of the token, which stay the same.
	Contents Contents
}

// IsService reports whether it is a program that acts for nobody.
func (c *Caller) IsService() bool { return identity.IsService(c.Identity.Kind) }

// holderOf returns whom the MCP sessions of a token's caller belong to. A service
// person has a grant with each token, and goes on in its sessions with the next.
func holderOf(t *storage.AccessToken) string {
	if !identity.IsService(t.Identity.Kind) {
		return t.GrantID
	}
	h := storage.HashOf(t.Identity.Subject + "\x00" + t.Identity.Proof + "\x00" + t.ClientID)
	return "service:" + hex.EncodeToString(h[:])
}

// newCaller returns the caller behind an access token.
func newCaller(h storage.Hash, t *storage.AccessToken) Caller {
	return Caller{
		GrantID: t.GrantID, Holder: holderOf(t), ClientID: t.ClientID, Identity: t.Identity,
		Scope: strings.Join(t.Scope, " "), Choices: access.NewChoices(t.Chosen), TokenHash: h, ExpiresAt: t.ExpiresAt,
		Contents: ContentsOf(t),
	}
}
