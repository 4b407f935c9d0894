package adminapi

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
)

// EncryptionKeysPath is where operators see how far a change of the key is.
const EncryptionKeysPath = "/mcp_oauth/encryption_keys"

var encryptionKeyRoutes = []route{{
	method: http.MethodGet, path: EncryptionKeysPath,
	about:  "The encryption keys by name, what each has sealed, and when those behind the first may leave the configuration. Keys themselves are never shown.",
	answer: rotation.EncryptionKeys{}, serve: listEncryptionKeys,
}}

func listEncryptionKeys(c *call) (any, error) {
	operator, err := c.opened()
	if err != nil {
		return nil, err
	}
	return operator.Rotation.Overview(), nil
}
