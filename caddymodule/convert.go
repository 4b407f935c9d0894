package caddymodule

import (
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// accountsConfig returns a resolved configuration as accounts takes it.
func accountsConfig(s *config.Site) accounts.Config {
	cfg := accounts.Config{Issuer: s.Issuer, ClientName: s.Branding.Name}
	for _, s := range s.Servers {
		a := s.Auth
		if a == nil {
			continue
		}
		server := accounts.Server{
			ID: s.ID, Title: s.Title, URL: s.Upstream, Mode: accounts.Mode(a.Mode), Required: !a.Optional,
			Resource: a.Resource, Scopes: a.Scopes, Issuer: a.Issuer,
			AuthorizationEndpoint: a.AuthorizationEndpoint, TokenEndpoint: a.TokenEndpoint, RevocationEndpoint: a.RevocationEndpoint,
			AuthMethod: a.AuthMethod, Quirks: a.Quirks,
			VerifyURL: a.VerifyURL,
		}
		if a.ClientID != "" {
			server.Client = &accounts.Client{ID: a.ClientID, Secret: a.ClientSecret, CallbackPath: a.CallbackPath}
		}
		for _, h := range a.Headers {
			server.Headers = append(server.Headers, accounts.Header{Name: h.Name, Label: h.Label, Prefix: h.Prefix})
		}
		cfg.Servers = append(cfg.Servers, server)
	}
	return cfg
}
