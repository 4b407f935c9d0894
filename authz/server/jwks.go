package server

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/signing"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// jwksEndpoint publishes the keys that this site signs with (RFC 8414 section 2).
type jwksEndpoint struct {
	keys   *signing.Keys
	events *event.Recorder
}

func (e *jwksEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	document, err := e.keys.Published(r.Context())
	if err != nil {
		oauth.WriteError(r.Context(), w, e.events, event.RequestRefused, oauth.Unavailable(err))
		return
	}
	oauth.WriteDocument(w, document, "public, max-age=300")
}
