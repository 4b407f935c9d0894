package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func (p *parser) virtualKey() error {
	token := p.Token()
	args := p.RemainingArgs()
	if len(args) < 2 {
		return p.Errf("virtual_key takes a name, the hash or placeholder of the key, and the ids of servers, if not all")
	}
	p.at["virtual_key "+args[0]] = token
	p.handler.VirtualKeys = append(p.handler.VirtualKeys, VirtualKey{Name: args[0], Key: args[1], Servers: args[2:]})
	return nil
}

func (p *parser) client() error {
	token := p.Token()
	var c Client
	if err := p.args(&c.ID); err != nil {
		return err
	}
	path := "client " + c.ID
	if _, twice := p.at[path]; twice {
		return p.Errf("%s: the id is used twice; give each client its own", path)
	}
	p.at[path] = token
	err := p.block(path, func() error {
		switch p.Val() {
		case "name":
			return p.args(&c.Name)
		case "secret":
			return p.args(&c.Secret)
		case "redirect_uri":
			return p.list(&c.RedirectURIs)
		case "jwks_uri":
			return p.args(&c.JWKSURI)
		case "jwks":
			var text string
			if err := p.args(&text); err != nil {
				return err
			}
			if !json.Valid([]byte(text)) {
				return p.Err("jwks is not JSON; put it in backquotes")
			}
			c.JWKS = json.RawMessage(text)
			return nil
		case "introspect":
			c.Introspect = true
			return p.args()
		default:
			return p.unknown("name, secret, redirect_uri, jwks_uri, jwks, introspect")
		}
	})
	p.handler.Clients = append(p.handler.Clients, c)
	return err
}

func (p *parser) registration() error {
	r := new(Registration)
	p.handler.Registration = r
	return p.block("registration", func() error {
		switch p.Val() {
		case "dynamic":
			return p.onOff(&r.Dynamic)
		case "metadata_documents":
			return p.onOff(&r.MetadataDocuments)
		case "allow_hosts":
			return p.list(&r.AllowHosts)
		case "deny_hosts":
			return p.list(&r.DenyHosts)
		case "initial_access_token":
			return p.args(&r.InitialAccessToken)
		case "rate_limit":
			return p.count(&r.RateLimit)
		case "max_unused":
			return p.count(&r.MaxUnused)
		case "max_unproved":
			return p.count(&r.MaxUnproved)
		case "unused_lifetime":
			return p.duration(&r.UnusedLifetime)
		case "redirect_schemes":
			return p.list(&r.RedirectSchemes)
		default:
			return p.unknown("dynamic, metadata_documents, allow_hosts, deny_hosts, initial_access_token, rate_limit, max_unused, max_unproved, unused_lifetime, redirect_schemes")
		}
	})
}

func (p *parser) server() error {
	token := p.Token()
	var s Server
	if err := p.args(&s.ID, &s.Path, &s.Upstream); err != nil {
		return err
	}
	path := "server " + s.ID
	if first, twice := p.at[path]; twice {
		return p.Errf("%s: the id is used twice, first on line %d; give each server its own", path, first.Line)
	}
	p.at[path] = token
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		if p.Val() != "identity_header" { // the only one that may be repeated
			if err := p.once(path + " "); err != nil {
				return err
			}
		}
		if err := p.serverOption(path, &s); err != nil {
			return err
		}
	}
	p.handler.Servers = append(p.handler.Servers, s)
	return nil
}

func (p *parser) serverOption(path string, s *Server) error {
	switch p.Val() {
	case "title":
		return p.args(&s.Title)
	case "auth":
		return p.auth(path, s)
	case "scopes":
		return p.list(&s.Scopes)
	case "optional_scopes":
		return p.list(&s.OptionalScopes)
	case "identity_header":
		var name, claim string
		if err := p.args(&name, &claim); err != nil {
			return err
		}
		if _, twice := s.IdentityHeaders[name]; twice {
			return p.Errf("identity_header %s is already set; remove one", name)
		}
		if s.IdentityHeaders == nil {
			s.IdentityHeaders = map[string]string{}
		}
		s.IdentityHeaders[name] = claim
		return nil
	case "pass_headers":
		return p.list(&s.PassHeaders)
	case "proxy":
		return p.proxy(s)
	default:
		return p.unknown("title, auth, scopes, optional_scopes, identity_header, pass_headers, proxy")
	}
}

// proxy reads a block as the reverse_proxy directive would.
func (p *parser) proxy(s *Server) error {
	d := p.NewFromNextSegment()
	var rp reverseproxy.Handler
	if err := rp.UnmarshalCaddyfile(d); err != nil {
		return err
	}
	if err := rp.FinalizeUnmarshalCaddyfile(p.helper); err != nil {
		return err
	}
	s.ReverseProxy = p.json(rp)
	return nil
}
