package caddymodule

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterDirective("mcp_oauth", parseDirective)
	// Before handle and route, where a catch-all would swallow the documents
	// at the root of the site; after encode, which wraps our answers.
	httpcaddyfile.RegisterDirectiveOrder("mcp_oauth", httpcaddyfile.After, "encode")
}

// parseDirective reads the site directive:
//
//	mcp_oauth {
//	    public_url <url>
//	    identity   virtual_key|user_id|anonymous|caddy     # repeatable
//	    virtual_key <name> <sha256:hash|placeholder> [<server id>...]
//	    client <id> {
//	        name         <text>
//	        secret       <sha256:hash|placeholder>
//	        redirect_uri <uri>...
//	        jwks_uri     <url>
//	        jwks         <json>
//	        introspect
//	    }
//	    server <id> <path> <upstream URL> {
//	        title           <text>
//	        auth            none
//	        auth            headers { <name> <value> ... }
//	        auth            per_user_oauth|oauth {
//	            required|optional
//	            scopes                 <scope>...
//	            client_id              <id|placeholder>
//	            client_secret          <placeholder>
//	            auth_method            client_secret_basic|client_secret_post|private_key_jwt|none
//	            callback_path          <path>
//	            authorization_endpoint <url>
//	            token_endpoint         <url>
//	            revocation_endpoint    <url>
//	            issuer                 <url>
//	            resource               <url>
//	            no_resource
//	            allow_missing_pkce
//	            authorize_param        <name> <value>      # repeatable
//	            scope_separator        <text>
//	        }
//	        auth            per_user_headers {
//	            required|optional
//	            header     <name> [<prefix> [<label>]]     # repeatable
//	            verify_url <url>
//	        }
//	        scopes          <scope>...
//	        optional_scopes <scope>...
//	        identity_header <name> user|identity|client|grant|scope
//	        pass_headers    <name>...                  # X-Custom-* for all that start so
//	        proxy           { <any subdirective of reverse_proxy> }
//	    }
//	    scope <name> <description>
//	    access_token_lifetime   <duration>
//	    refresh_token_lifetime  <duration>
//	    grant_lifetime          <duration>
//	    absolute_grant_lifetime <duration>
//	    flow_lifetime           <duration>
//	    code_lifetime           <duration>
//	    refresh_reuse_grace     <duration>
//	    registration {
//	        dynamic              on|off
//	        metadata_documents   on|off
//	        allow_hosts          <host>...
//	        deny_hosts           <host>...
//	        initial_access_token <sha256:hash|placeholder>
//	        rate_limit           <registrations per minute and address>
//	        max_unused           <count>
//	        max_unproved         <count per address>
//	        unused_lifetime      <duration>
//	        redirect_schemes     <scheme>...
//	    }
//	    allowed_origins <origin>...
//	    branding {
//	        name   <text>
//	        accent <#rrggbb>
//	    }
//	    insecure_allow_loopback
//	}
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	p := &parser{Dispenser: h.Dispenser, helper: h, handler: new(Handler), at: map[string]caddyfile.Token{}}
	if err := p.parse(); err != nil {
		return nil, err
	}
	return h.NewRoute(nil, p.handler), nil
}

// parser fills a handler from its directive.
type parser struct {
	*caddyfile.Dispenser
	helper  httpcaddyfile.Helper
	handler *Handler
	// at remembers where each option stands, to blame its line for a mistake
	// that only shows when all is read.
	at map[string]caddyfile.Token
}

func (p *parser) parse() error {
	p.Next() // the directive
	directive := p.Token()
	if p.NextArg() {
		return p.Errf("mcp_oauth takes no argument and no matcher: its documents are at the root of the site; remove %q", p.Val())
	}
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		if err := p.option(); err != nil {
			return err
		}
	}
	if p.handler.PublicURL == "" {
		url, err := siteURL(p.helper)
		if err != nil {
			return blame(directive, err)
		}
		p.handler.PublicURL = url
	}
	_, err := p.handler.convert(whenAdapting)
	var m *mistake
	if errors.As(err, &m) {
		if token, ok := p.at[m.option]; ok {
			return blame(token, err)
		}
	}
	if err != nil {
		return blame(directive, err)
	}
	return nil
}

// blame adds the line of the token to an error.
func blame(t caddyfile.Token, err error) error {
	return fmt.Errorf("%w, at %s:%d", err, t.File, t.Line)
}

// option reads one subdirective.
func (p *parser) option() error {
	h := p.handler
	switch name := p.Val(); name {
	case "identity":
		p.at[name] = p.Token()
		var id Identity
		if err := p.args(&id.Kind); err != nil {
			return err
		}
		h.Identities = append(h.Identities, id)
		return nil
	case "virtual_key":
		return p.virtualKey()
	case "client":
		return p.client()
	case "server":
		return p.server()
	case "scope":
		p.at[name] = p.Token()
		var s Scope
		if err := p.args(&s.Name, &s.Description); err != nil {
			return err
		}
		h.Scopes = append(h.Scopes, s)
		return nil
	}
	if err := p.once(""); err != nil {
		return err
	}
	switch name := p.Val(); name {
	case "public_url":
		return p.args(&h.PublicURL)
	case "access_token_lifetime":
		return p.duration(&h.AccessTokenLifetime)
	case "refresh_token_lifetime":
		return p.duration(&h.RefreshTokenLifetime)
	case "grant_lifetime":
		return p.duration(&h.GrantLifetime)
	case "absolute_grant_lifetime":
		return p.duration(&h.AbsoluteGrantLifetime)
	case "flow_lifetime":
		return p.duration(&h.FlowLifetime)
	case "code_lifetime":
		return p.duration(&h.CodeLifetime)
	case "refresh_reuse_grace":
		h.RefreshReuseGrace = new(caddy.Duration)
		return p.duration(h.RefreshReuseGrace)
	case "registration":
		return p.registration()
	case "allowed_origins":
		return p.list(&h.AllowedOrigins)
	case "branding":
		return p.branding()
	case "insecure_allow_loopback":
		h.InsecureAllowLoopback = true
		return p.args()
	default:
		return p.unknown("public_url, identity, virtual_key, client, server, scope, a *_lifetime, refresh_reuse_grace, registration, allowed_origins, branding, insecure_allow_loopback")
	}
}

func (p *parser) branding() error {
	b := new(Branding)
	p.handler.Branding = b
	return p.block("branding", func() error {
		switch p.Val() {
		case "name":
			return p.args(&b.Name)
		case "accent":
			return p.args(&b.Accent)
		default:
			return p.unknown("name, accent")
		}
	})
}
