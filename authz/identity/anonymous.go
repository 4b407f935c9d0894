package identity

import (
	"crypto/rand"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// NewAnonymous returns an identity that nobody had before and nobody gets
// again: a second sign-in of the same person is somebody else.
func NewAnonymous() storage.Identity {
	return storage.Identity{Kind: string(Anonymous), Subject: subject(Anonymous, rand.Text())}
}

// IsAnonymous reports whether a subject is nobody in particular.
func IsAnonymous(name string) bool { return strings.HasPrefix(name, subject(Anonymous, "")) }
