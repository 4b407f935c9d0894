package tokens

import (
	"strings"
	"time"

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
