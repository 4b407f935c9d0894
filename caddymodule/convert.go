package caddymodule

import (
	"errors"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// authzConfig returns a resolved configuration as the authorization server
// takes it.
func authzConfig(s *config.Site) (authz.Config, error) {
	r, l := s.Registration, s.Lifetimes
	cfg := authz.Config{
		Issuer: s.Issuer, Documentation: s.ServiceDocumentation, VirtualKeys: s.Keys, Scopes: map[string]string{},
		Lifetimes: authz.Lifetimes{
			Flow: time.Duration(l.FlowLifetime), Code: time.Duration(l.CodeLifetime), AccessToken: time.Duration(l.AccessTokenLifetime),
			RefreshToken: time.Duration(l.RefreshTokenLifetime), Grant: time.Duration(l.GrantLifetime), AbsoluteGrant: time.Duration(l.AbsoluteGrantLifetime),
		},
		SignIn: s.SignIn(),
		Registration: authz.Registration{
			Dynamic: *r.Dynamic, MetadataDocuments: *r.MetadataDocuments, AllowedHosts: r.AllowHosts, DeniedHosts: r.DenyHosts, InitialAccessToken: r.TokenHash,
			RatePerMinute: *r.RateLimit, MaxUnused: *r.MaxUnused, MaxUnproved: *r.MaxUnproved,
			UnusedLifetime: time.Duration(r.UnusedLifetime), UsedLifetime: authz.DefaultRegistration.UsedLifetime, RedirectSchemes: r.RedirectSchemes,
		},
		AllowedOrigins: s.AllowedOrigins, RefreshReuseGrace: time.Duration(*l.RefreshReuseGrace),
	}
	for _, scope := range s.Scopes {
		cfg.Scopes[scope.Name] = scope.Description
	}
	for _, s := range s.Servers {
		cfg.Servers = append(cfg.Servers, authz.Server{
			ID: s.ID, Title: s.Title, Path: s.Path, Resource: s.Resource, Scopes: s.Scopes, OptionalScopes: s.OptionalScopes,
			Documentation: s.ResourceDocumentation, Policy: s.ResourcePolicyURI, TermsOfService: s.ResourceTOSURI,
		})
	}
	for i, c := range s.Clients {
		client := authz.Client{ID: c.ID, Origin: authz.Preregistered, Introspect: c.Introspect, SecretHash: c.SecretHash, Metadata: oauth.ClientMetadata{
			ClientName: c.Name, RedirectURIs: c.RedirectURIs, JWKSURI: c.JWKSURI, JWKS: c.JWKS,
			GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		}}
		if c.JWKSURI != "" || len(c.JWKS) > 0 {
			client.Metadata.TokenEndpointAuthMethod = oauth.AuthPrivateKeyJWT
		}
		if err := client.Complete(r.RedirectSchemes); err != nil {
			return authz.Config{}, refused(config.Index("clients", i), &c, err)
		}
		cfg.Clients = append(cfg.Clients, client)
	}
	return cfg, nil
}

// refused names the field that made a client unusable.
func refused(path string, c *config.Client, err error) error {
	text := err.Error()
	var e *oauth.Error
	if errors.As(err, &e) {
		text = e.Description
	}
	switch {
	case e != nil && e.Code == "invalid_redirect_uri":
		path += ".redirect_uris"
	case len(c.JWKS) > 0:
		path += ".jwks"
	case c.JWKSURI != "":
		path += ".jwks_uri"
	}
	return config.Errorf(path, "%s", strings.TrimSuffix(text, "."))
}

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
			Quirks: accounts.Quirks{
				NoResource: a.NoResource, NoRefreshRotation: a.NoRefreshRotation, MetadataDocument: a.MetadataDocument, AllowMissingPKCE: a.AllowMissingPKCE, AuthMethod: a.AuthMethod,
				ScopeSeparator: a.ScopeSeparator, AuthorizeParams: a.AuthorizeParams,
			},
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
