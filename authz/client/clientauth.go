package client

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// Credentials are what we are at a provider.
type Credentials struct {
	ID         string `json:"id"`
	Secret     string `json:"secret,omitempty"`
	AuthMethod string `json:"auth_method"`
}

// ConfiguredCredentials returns what we are at a provider that the operator
// registered us with, and that supports these ways to authenticate. The way is
// decided once and then kept: trying another one after a refusal would send a
// code or a refresh token twice.
func (p Profile) ConfiguredCredentials(id, secret string, supported []string) *Credentials {
	c := &Credentials{ID: id, Secret: secret, AuthMethod: oauth.AuthSecretBasic} // the default of RFC 8414 section 2
	switch {
	case p.AuthMethod != "":
		c.AuthMethod = p.AuthMethod
	case secret == "":
		c.AuthMethod = oauth.AuthNone
	case slices.Contains(supported, oauth.AuthSecretPost) && !slices.Contains(supported, oauth.AuthSecretBasic):
		c.AuthMethod = oauth.AuthSecretPost
	}
	return c
}

// authenticate adds the client to a request to its provider (RFC 6749 section
// 2.3, RFC 7523 section 2.2).
func (c *Client) authenticate(issuer string, as Credentials, header http.Header, form url.Values) error {
	switch as.AuthMethod {
	case oauth.AuthSecretBasic:
		// Both are encoded as a form before they are joined (section 2.3.1).
		r := http.Request{Header: header}
		r.SetBasicAuth(url.QueryEscape(as.ID), url.QueryEscape(as.Secret))
		return nil
	case oauth.AuthSecretPost:
		form.Set("client_secret", as.Secret)
	case oauth.AuthPrivateKeyJWT:
		assertion, err := c.Profile.assertion(as.ID, issuer, c.Now())
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	}
	form.Set("client_id", as.ID)
	return nil
}
