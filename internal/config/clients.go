package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
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
	// loopback. At least one, unless the client only introspects, or gets tokens for
	// itself.
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
	// ClientCredentials lets the client get access tokens for itself, as a program
	// that acts for nobody (OAuth 2.1 section 4.2). It must be able to authenticate.
	// Access rules call it `user:client:<id>`.
	ClientCredentials bool `json:"client_credentials,omitempty"`
	// Servers are, with ClientCredentials, the ids of the MCP servers that those
	// tokens are good for. Default: all that are not for some people only.
	Servers []string `json:"servers,omitempty"`
	// Lifetime is, with ClientCredentials, that of those tokens: at most
	// `access_token_lifetime`. Default: 10m, or `access_token_lifetime` if that is
	// shorter.
	Lifetime Duration `json:"lifetime,omitempty"`

	// SecretHash is, once resolved, the hash of Secret; nil without one.
	SecretHash *storage.Hash `json:"-"`
}

// NoClient says why there can be no client of an id, or returns "": it is neither of the
// configuration, nor what clients get when they register, nor the URL of a document.
func (s *Site) NoClient(id string) string {
	isURL := strings.Contains(id, "://") && *s.Registration.MetadataDocuments
	if isURL || uuid.Validate(id) == nil {
		return ""
	}
	return noClient(s.Clients, "client", id, func(*Client) bool { return true })
}

// noClient says which clients of a kind the configuration has, unless one has the id.
func noClient(all []Client, what, id string, isMeant func(*Client) bool) string {
	var ids []string
	for i := range all {
		if c := &all[i]; isMeant(c) {
			ids = append(ids, c.ID)
		}
	}
	switch {
	case slices.Contains(ids, id):
		return ""
	case ids == nil:
		return fmt.Sprintf("there is no %s %q", what, id)
	}
	return fmt.Sprintf("there is no %s %q%s", what, id, Choice(id, ids))
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
		if strings.HasPrefix(c.ID, string(identity.Workload)+":") {
			return Errorf(path+".id", "%s: is how the clients begin that workloads are; give this one another id", identity.Workload)
		}
		if err := c.resolve(path, resolve); err != nil {
			return err
		}
		if err := c.checkService(s, path); err != nil {
			return err
		}
	}
	return nil
}

// checkService checks what the client is by itself.
func (c *Client) checkService(s *Site, path string) error {
	switch {
	case c.ClientCredentials && c.SecretHash == nil && c.JWKSURI == "" && len(c.JWKS) == 0:
		return Errorf(path+".client_credentials", "client_credentials is for clients that authenticate; add a secret, jwks_uri or jwks")
	case c.ClientCredentials:
		return s.checkServerIDs(path+".servers", c.Servers)
	case c.Servers != nil:
		return Errorf(path+".servers", "it says which servers the client may use by itself; add client_credentials, or remove it")
	case c.Lifetime != 0:
		return Errorf(path+".lifetime", "it is that of tokens which the client gets for itself; add client_credentials, or remove it")
	}
	return nil
}

// checkServerIDs refuses ids that are not of servers of the site, each once.
func (s *Site) checkServerIDs(path string, ids []string) error {
	known := make([]string, len(s.Servers))
	for i, server := range s.Servers {
		known[i] = server.ID
	}
	for i, id := range ids {
		if !slices.Contains(known, id) {
			return Errorf(path, "there is no server %q%s", id, Choice(id, known))
		}
		if slices.Contains(ids[:i], id) {
			return Errorf(path, "server %s is listed twice; remove one", id)
		}
	}
	return nil
}

// Service returns who the client is by itself.
func (c *Client) Service() identity.Service {
	text := c.JWKSURI + string(c.JWKS)
	if c.SecretHash != nil {
		text = string(c.SecretHash[:])
	}
	return identity.Service{ID: c.ID, Name: c.Name, Servers: c.Servers, Credential: storage.HashOf("client credential\x00" + text)}
}

// services are the clients that get tokens for themselves.
func (s *Site) services() (all []identity.Service) {
	for i := range s.Clients {
		if c := &s.Clients[i]; c.ClientCredentials {
			all = append(all, c.Service())
		}
	}
	return all
}

// defaultServiceLifetime is that of what a program gets for itself.
const defaultServiceLifetime = Duration(10 * time.Minute)

// resolveServiceLifetimes settles how long the tokens live that programs get for
// themselves.
func resolveServiceLifetimes(s *Site, _ Resolver) error {
	for i := range s.Clients {
		c := &s.Clients[i]
		if !c.ClientCredentials {
			continue
		}
		most := time.Duration(s.AccessTokenLifetime)
		if err := resolveDuration(Index("clients", i)+".lifetime", &c.Lifetime, min(defaultServiceLifetime, s.AccessTokenLifetime), time.Second, most); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) resolve(path string, resolve Resolver) error {
	c.Name = cmp.Or(c.Name, c.ID)
	if len(c.RedirectURIs) == 0 && !c.Introspect && !c.ClientCredentials {
		return Errorf(path+".redirect_uris", "it could not sign anybody in; add redirect_uri, or client_credentials for a program that acts for nobody")
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
	if *s.Registration.Dynamic || *s.Registration.MetadataDocuments || s.UsesVirtualKeys() || s.HasSignInClient() || s.hasServices() {
		return nil
	}
	return Errorf("registration", "no client could sign in with dynamic and metadata_documents off; turn one on, or add a client with redirect_uri")
}

// hasServices reports whether programs can get tokens for themselves.
func (s *Site) hasServices() bool {
	return slices.ContainsFunc(s.SignIn, func(m identity.Method) bool { return m.Service })
}

// HasSignInClient reports whether a known client can sign people in.
func (s *Site) HasSignInClient() bool {
	return slices.ContainsFunc(s.Clients, func(c Client) bool { return len(c.RedirectURIs) > 0 })
}
