package config

import (
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Client is an OAuth client the operator knows beforehand, and vouches for.
type Client struct {
	// ID is the client_id.
	ID string `json:"id"`
	// Name is shown on the consent page. Default: the id.
	Name string `json:"name,omitempty"`
	// Secret makes the client confidential: a placeholder such as
	// `{env.SECRET}` for its secret, or `sha256:` and the hash in hexadecimal.
	// Default: none, for a public client.
	Secret string `json:"secret,omitempty"`
	// RedirectURIs are compared exactly, except for the port of http on
	// loopback. At least one, unless the client only introspects.
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	// JWKSURI is where the client publishes the keys for private_key_jwt. Default:
	// none.
	JWKSURI string `json:"jwks_uri,omitempty"`
	// JWKS are the keys themselves (RFC 7517). Exclusive with JWKSURI and Secret.
	// Default: none.
	JWKS json.RawMessage `json:"jwks,omitempty"`
	// Introspect lets the client introspect all tokens of the site. It must
	// be able to authenticate.
	Introspect bool `json:"introspect,omitempty"`

	// SecretHash is, once resolved, the hash of Secret; nil without one.
	SecretHash *storage.Hash `json:"-"`
}

// clientIDPattern is VSCHAR (RFC 6749 appendix A.1) without the space.
var clientIDPattern = regexp.MustCompile(`^[!-~]{1,255}$`)

func resolveClients(s *Site, resolve Resolver) error {
	s.Clients = slices.Clone(s.Clients)
	for i := range s.Clients {
		c, path := &s.Clients[i], Index("clients", i)
		if !clientIDPattern.MatchString(c.ID) {
			return Errorf(path+".id", "%q is not a client id; use printable ASCII without spaces", c.ID)
		}
		if slices.ContainsFunc(s.Clients[:i], func(other Client) bool { return other.ID == c.ID }) {
			return Errorf(path+".id", "the id is used twice; give each client its own")
		}
		if err := c.resolve(path, resolve); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) resolve(path string, resolve Resolver) error {
	c.Name = cmp.Or(c.Name, c.ID)
	if len(c.RedirectURIs) == 0 && !c.Introspect {
		return Errorf(path+".redirect_uris", "it could not sign anybody in; add redirect_uri")
	}
	for _, uri := range c.RedirectURIs {
		if u, err := url.Parse(uri); err != nil || !u.IsAbs() || u.Fragment != "" || strings.ContainsAny(uri, "*") {
			return Errorf(path+".redirect_uris", "%q is not an absolute URI without fragment and wildcards; write it as https://app.example.com/callback", uri)
		}
	}
	ways := 0
	if c.Secret != "" {
		hash, err := hashSecret(path+".secret", "secret", c.Secret, resolve)
		if err != nil {
			return err
		}
		c.SecretHash = cmp.Or(hash, new(storage.Hash)) // it has one, though not known yet
		ways++
	}
	if c.JWKSURI != "" {
		ways++
	}
	if len(c.JWKS) > 0 {
		ways++
	}
	switch {
	case ways > 1:
		return Errorf(path+".secret", "more than one way to authenticate; keep one of secret, jwks, jwks_uri")
	case ways == 0 && c.Introspect:
		return Errorf(path+".introspect", "introspect is for clients that authenticate; add a secret")
	}
	return nil
}

// checkClients refuses a site that no client could ever use. A virtual key
// works without one.
func checkClients(s *Site, _ Resolver) error {
	if *s.Registration.Dynamic || *s.Registration.MetadataDocuments || s.UsesVirtualKeys() || s.HasSignInClient() {
		return nil
	}
	return Errorf("registration", "no client could sign in with dynamic and metadata_documents off; turn one on, or add a client with redirect_uri")
}

// HasSignInClient reports whether a known client can sign people in.
func (s *Site) HasSignInClient() bool {
	return slices.ContainsFunc(s.Clients, func(c Client) bool { return len(c.RedirectURIs) > 0 })
}
