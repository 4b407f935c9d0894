package authz

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Gate decides about the calls of one MCP server.
type Gate struct{}

// Caller is who makes a call that passed. It is shared and read-only.
type Caller struct {
	// GrantID is "vk:" and the key's name for a virtual key as bearer.
	GrantID  string
	ClientID string // empty for a virtual key
	Identity storage.Identity
	Scope    string // space-separated
	// TokenHash is what Recheck takes to ask again later.
	TokenHash storage.Hash
}

// Gate returns the gate of one of the configured servers.
func (as *AuthorizationServer) Gate(s Server) *Gate { return nil }

// Check returns who makes the call, or answers the request itself and returns
// nil: 401 and 403 with the challenge of RFC 6750 section 3, 503 when the store fails.
// It changes nothing of a request that passes, and allocates nothing for it
// while the token is cached.
func (g *Gate) Check(w http.ResponseWriter, r *http.Request) *Caller { return nil }

// Recheck reports whether the caller of an open stream would still pass.
func (g *Gate) Recheck(c *Caller) bool { return false }
