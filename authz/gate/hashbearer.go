package gate

import (
	"crypto/sha256"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// hashBearer is storage.HashOf without an allocation for tokens of usual size.
func hashBearer(token string) storage.Hash {
	var buf [128]byte
	if len(token) > len(buf) {
		return storage.HashOf(token)
	}
	return sha256.Sum256(buf[:copy(buf[:], token)])
}
