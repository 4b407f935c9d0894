package caddymodule

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// withUser hands the pages the user whom another handler authenticated, if
// that is a way to sign in. The placeholder is looked up, never expanded from
// anything in the request.
func (h *Handler) withUser(r *http.Request) *http.Request {
	if h.user == "" {
		return r
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return r
	}
	if strings.HasPrefix(h.user, config.ClientCertificate) && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		return r // Caddy can be told to take certificates that nobody verified
	}
	user, _ := repl.GetString(h.user)
	return r.WithContext(identity.WithUser(r.Context(), user))
}
