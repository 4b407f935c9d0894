package grants

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var (
	errUnknownResource = oauth.NewError("invalid_target", "The requested resource is not one of this server's.")
	errTooManyAccounts = oauth.NewError("invalid_target", "The request names more accounts at one resource than anybody can have.")
)

// Policy knows the MCP servers of a site and who may use them, by the
// configuration alone.
type Policy struct {
	cfg *config.Site
	// byResource finds a server by the canonical spelling of its identifier.
	byResource map[string]*config.Server
}

// NewPolicy returns the policy of a configuration.
func NewPolicy(cfg *config.Site) *Policy {
	p := &Policy{cfg: cfg, byResource: make(map[string]*config.Server, len(cfg.Servers))}
	for i := range cfg.Servers {
		if key, ok := oauth.CanonicalResource(cfg.Servers[i].Resource); ok {
			p.byResource[key] = cfg.Servers[i]
		}
	}
	return p
}

// Allows reports whether the configuration still knows the identity.
func (p *Policy) Allows(id storage.Identity) bool { return p.cfg.SignIn.Valid(id) }

// MayUse reports whether the identity may use the server.
func (p *Policy) MayUse(id storage.Identity, s *config.Server) bool {
	return p.cfg.SignIn.MayUse(id, s.Configured().ID) && p.cfg.Admits(s, &id)
}

// Admits reports whether what an issuer gave to an identity for some resources,
// a token or a grant, is good at the server. Resources are compared as bytes:
// they were brought into one form when they were requested (RFC 8707 section 2,
// RFC 9068 section 4).
func (p *Policy) Admits(s *config.Server, issuer string, id storage.Identity, resources []string) bool {
	return issuer == p.cfg.Issuer && s.Resource != "" && slices.Contains(resources, s.Resource) &&
		p.Allows(id) && p.MayUse(id, s)
}

// ServersOf returns the MCP servers an identity may use.
func (p *Policy) ServersOf(id storage.Identity) []*config.Server {
	var servers []*config.Server
	for _, s := range p.cfg.Servers {
		if p.MayUse(id, s) {
			servers = append(servers, s)
		}
	}
	return servers
}

// ServersAt returns the servers among the resources, also those for accounts.
func (p *Policy) ServersAt(resources []string) []*config.Server { return p.cfg.ServersAt(resources) }

// at returns the server with the canonical identifier, or nil.
func (p *Policy) at(key string) *config.Server {
	if s := p.byResource[key]; s != nil {
		return s
	}
	server, account := key[:max(0, strings.LastIndexByte(key, '/'))], key[strings.LastIndexByte(key, '/')+1:]
	if s := p.byResource[server]; s != nil {
		return s.ForAccount(account)
	}
	return nil
}

// Resolve returns the identifiers of the servers that resource parameters (RFC
// 8707 section 2) name, each once.
func (p *Policy) Resolve(requested []string) ([]string, error) {
	var resources []string
	accounts := map[*config.Server]int{}
	for _, s := range requested {
		if s == "" {
			continue
		}
		key, ok := oauth.CanonicalResource(s)
		if !ok {
			return nil, oauth.NewError("invalid_target", "The requested resource is malformed.")
		}
		server := p.at(key)
		if server == nil {
			return nil, errUnknownResource
		}
		if slices.Contains(resources, server.Resource) {
			continue
		}
		if server.Account != "" {
			if accounts[server.Configured()]++; accounts[server.Configured()] > *server.Auth.MaxAccounts {
				return nil, errTooManyAccounts
			}
		}
		resources = append(resources, server.Resource)
	}
	return resources, nil
}

// Audience returns the servers a token of a grant shall be good for: of those
// that can still be used, the one that the request names or, when it names
// none, all. A client that named resources when it asked for the grant gets one
// per token (RFC 8707 section 2.2).
func (p *Policy) Audience(g *storage.Grant, usable []*config.Server, requested []string) ([]*config.Server, error) {
	resources, err := p.Resolve(requested)
	if err != nil {
		return nil, err
	}
	if len(resources) == 0 {
		if len(usable) > 1 && g.ResourcesRequested {
			return nil, oauth.NewError("invalid_target", "The grant is for several resources: name one.")
		}
		return usable, nil
	}
	if len(resources) > 1 {
		return nil, oauth.NewError("invalid_target", "A token is for one resource: name one.")
	}
	i := slices.IndexFunc(usable, func(s *config.Server) bool { return s.Resource == resources[0] })
	if i < 0 {
		return nil, oauth.NewError("invalid_target", "The resource exceeds what was granted.")
	}
	return usable[i : i+1], nil
}

// ResourcesOf returns the identifiers of servers.
func ResourcesOf(servers []*config.Server) []string {
	resources := make([]string, len(servers))
	for i, s := range servers {
		resources[i] = s.Resource
	}
	return resources
}
