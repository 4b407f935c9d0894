package caddymodule

import (
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

func readIdentity(p *parser, h *config.Site, l line) error {
	id := config.Identity{Kind: identity.Kind(l.args[0])}
	var err error
	if id.Kind == identity.Caddy {
		err = caddyUserOptions.read(p, l.path, &id)
	}
	h.Identities = append(h.Identities, id)
	return err
}

func readVirtualKey(_ *parser, h *config.Site, l line) error {
	h.VirtualKeys = append(h.VirtualKeys, config.VirtualKey{Name: l.args[0], Key: l.args[1], Servers: l.args[2:]})
	return nil
}

func readClient(p *parser, h *config.Site, l line) error {
	c := config.Client{ID: l.args[0]}
	err := clientOptions.read(p, l.path, &c)
	h.Clients = append(h.Clients, c)
	return err
}

func readJWKS(p *parser, c *config.Client, l line) error {
	if !json.Valid([]byte(l.args[0])) {
		return p.here(l, "this is not JSON; put it in backquotes")
	}
	c.JWKS = json.RawMessage(l.args[0])
	return nil
}

func readScope(_ *parser, h *config.Site, l line) error {
	h.Scopes = append(h.Scopes, config.Scope{Name: l.args[0], Description: l.args[1]})
	return nil
}

func readReuseGrace(p *parser, h *config.Site, l line) error {
	d, err := p.duration(l)
	h.RefreshReuseGrace = new(config.Duration(d))
	return err
}

func readRegistration(p *parser, h *config.Site, l line) error {
	h.Registration = new(config.Registration)
	return registrationOptions.read(p, l.path, h.Registration)
}

func readBranding(p *parser, h *config.Site, l line) error {
	h.Branding = new(config.Branding)
	return brandingOptions.read(p, l.path, h.Branding)
}

func readServer(p *parser, h *config.Site, l line) error {
	s := &config.Server{ID: l.args[0], Path: l.args[1], Upstream: l.args[2]}
	err := serverOptions.read(p, l.path, s)
	h.Servers = append(h.Servers, s)
	return err
}

func readIdentityHeader(_ *parser, s *config.Server, l line) error {
	if s.IdentityHeaders == nil {
		s.IdentityHeaders = map[string]string{}
	}
	s.IdentityHeaders[l.args[0]] = l.args[1]
	return nil
}

// readProxy reads a block as the reverse_proxy directive would.
func readProxy(p *parser, s *config.Server, l line) error {
	for range l.args {
		p.Prev()
	}
	d := p.NewFromNextSegment()
	var rp reverseproxy.Handler
	if err := rp.UnmarshalCaddyfile(d); err != nil {
		return err
	}
	if err := rp.FinalizeUnmarshalCaddyfile(p.helper); err != nil {
		return err
	}
	s.ReverseProxy = caddyconfig.JSON(rp, nil)
	return nil
}

// readAuth reads how people's accounts are connected.
func readAuth(options block[config.Auth]) func(*parser, *config.Server, line) error {
	return func(p *parser, s *config.Server, l line) error {
		s.Auth = &config.Auth{Mode: config.Mode(l.args[0])}
		return options.read(p, l.path, s.Auth)
	}
}

// readAuthHeaders reads the headers that carry the shared credential.
func readAuthHeaders(p *parser, s *config.Server, l line) error {
	s.Headers = map[string]string{}
	path := strings.TrimSuffix(l.path, "auth") + "headers"
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		header := block[config.Server]{{name: p.Val(), args: "<value>", field: "*", read: func(_ *parser, s *config.Server, l line) error {
			s.Headers[strings.TrimPrefix(l.path, path+".")] = l.args[0]
			return nil
		}}}
		header[0].field = header[0].name
		if err := header.readOption(p, path, s); err != nil {
			return err
		}
	}
	if len(s.Headers) == 0 {
		return p.here(l, "headers sets none; write `Authorization \"Bearer {env.TOKEN}\"` on a line of its own in a block after `auth headers`")
	}
	return nil
}

func readAuthorizeParam(_ *parser, a *config.Auth, l line) error {
	if a.AuthorizeParams == nil {
		a.AuthorizeParams = map[string]string{}
	}
	a.AuthorizeParams[l.args[0]] = l.args[1]
	return nil
}

func readPastedHeader(_ *parser, a *config.Auth, l line) error {
	args := append(l.args, "", "")
	a.Headers = append(a.Headers, config.AuthHeader{Name: args[0], Prefix: args[1], Label: args[2]})
	return nil
}
