package caddymodule

import (
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// newBroker returns what connects people to the upstream servers of the site,
// or nil if there is nothing to connect.
func newBroker(h *Handler, state *processState, keys *seal.Keyring, strangers *egress.Client) *accounts.Broker {
	if len(h.cfg.ConnectedServers()) == 0 {
		return nil
	}
	return accounts.New(accountsConfig(h.cfg), accounts.Deps{
		Store: state.store, Keys: keys, Shared: state.connections, Logger: h.log, Now: time.Now,
		Egress: strangers,
		// What the configuration names may be anywhere, also in a private network.
		Operator: egress.New(egress.Options{Anywhere: true}),
	})
}

// addConnectionRoutes serves what providers read about this site, and their
// answers at the paths that an operator chose.
func (s *site) addConnectionRoutes(cfg *config.Site) {
	if s.broker == nil {
		return
	}
	for _, document := range s.broker.ClientDocuments() {
		s.exact[document.Path] = endpoint{handler: clientDocument(document.Body)}
	}
	callback := s.exact[config.SharedCallbackPath]
	for _, server := range cfg.ConnectedServers() {
		if path := server.Auth.CallbackPath; path != "" {
			s.exact[path] = callback
		}
	}
}

// clientDocument serves one of our client ID metadata documents. Providers may
// keep it for a while.
func clientDocument(body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		oauth.WriteDocument(w, body, "max-age=300")
	})
}
