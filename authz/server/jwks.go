package server

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/signing"
)

// jwksEndpoint publishes the keys that this site signs with (RFC 8414 section 2).
type jwksEndpoint struct {
	keys *signing.Keys
	log  *zap.Logger
}

func (e *jwksEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	document, err := e.keys.Published(r.Context())
	if err != nil {
		oauth.WriteError(w, e.log, oauth.Unavailable(err))
		return
	}
	oauth.WriteDocument(w, document, "public, max-age=300")
}
