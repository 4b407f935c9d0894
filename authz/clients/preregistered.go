package clients

import (
	"errors"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// PreregisteredFrom returns the clients that an operator configured. An
// error names the field by its path.
func PreregisteredFrom(site *config.Site) ([]Client, error) {
	all := make([]Client, 0, len(site.Clients))
	for i, c := range site.Clients {
		client := Client{ID: c.ID, Introspect: c.Introspect, SecretHash: c.SecretHash, Metadata: oauth.ClientMetadata{
			ClientName: c.Name, RedirectURIs: c.RedirectURIs, JWKSURI: c.JWKSURI, JWKS: c.JWKS,
			GrantTypes: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}, ResponseTypes: []string{"code"},
		}}
		if c.ClientCredentials {
			client.Service, client.ServiceLifetime = new(c.Service()), time.Duration(c.Lifetime)
			client.Metadata.GrantTypes = append(client.Metadata.GrantTypes, oauth.GrantClientCredentials)
		}
		if c.JWKSURI != "" || len(c.JWKS) > 0 {
			client.Metadata.TokenEndpointAuthMethod = oauth.AuthPrivateKeyJWT
		}
		if err := client.Complete(site.Registration.RedirectSchemes); err != nil {
			return nil, unusable(config.Index("clients", i), &c, err)
		}
		all = append(all, client)
	}
	return all, nil
}

// unusable names the field that made a client unusable.
func unusable(path string, c *config.Client, err error) error {
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
