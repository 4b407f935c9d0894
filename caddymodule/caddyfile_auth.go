package caddymodule

import connections "github.com/mcpoauth/caddy-mcp-oauth/authz/upstream"

// auth reads how the gateway authenticates to the upstream.
func (p *parser) auth(path string, s *Server) error {
	var kind string
	if err := p.args(&kind); err != nil {
		return err
	}
	switch kind {
	case "none":
		return nil
	case "headers":
		return p.authHeaders(path, s)
	}
	switch connections.Mode(kind) {
	case connections.OAuth, connections.PerUserOAuth:
		s.Auth = &Auth{Mode: kind}
		return p.authBlock(path+" auth", s.Auth, p.oauthOption)
	case connections.PerUserHeaders:
		s.Auth = &Auth{Mode: kind}
		return p.authBlock(path+" auth", s.Auth, p.pastedOption)
	}
	return p.Errf("unknown upstream auth %q; use one of: none, headers, oauth, per_user_oauth, per_user_headers", kind)
}

func (p *parser) authHeaders(path string, s *Server) error {
	s.Headers = map[string]string{}
	err := p.block(path+" auth headers", func() error {
		name, value := p.Val(), ""
		if err := p.args(&value); err != nil {
			return err
		}
		s.Headers[name] = value
		return nil
	})
	if err == nil && len(s.Headers) == 0 {
		return p.Err("auth headers sets none; write `auth headers { Authorization \"Bearer {env.TOKEN}\" }` on lines of their own")
	}
	return err
}

// authBlock reads the options that all kinds of connections have, and leaves
// the others to more.
func (p *parser) authBlock(path string, a *Auth, more func(*Auth) error) error {
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		switch p.Val() {
		case "authorize_param", "header": // may be repeated
			p.at[path+" "+p.Val()] = p.Token()
		case "required", "optional": // exclude each other
			a.Optional = p.Val() == "optional"
			if first, set := p.at[path+" required"]; set {
				return p.Errf("%s: whether it is required is already set on line %d; remove one", p.Val(), first.Line)
			}
			p.at[path+" required"] = p.Token()
			if err := p.args(); err != nil {
				return err
			}
			continue
		default:
			if err := p.once(path + " "); err != nil {
				return err
			}
		}
		if err := more(a); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) oauthOption(a *Auth) error {
	switch p.Val() {
	case "scopes":
		return p.list(&a.Scopes)
	case "client_id":
		return p.args(&a.ClientID)
	case "client_secret":
		return p.args(&a.ClientSecret)
	case "auth_method":
		return p.args(&a.AuthMethod)
	case "callback_path":
		return p.args(&a.CallbackPath)
	case "authorization_endpoint":
		return p.args(&a.AuthorizationEndpoint)
	case "token_endpoint":
		return p.args(&a.TokenEndpoint)
	case "revocation_endpoint":
		return p.args(&a.RevocationEndpoint)
	case "issuer":
		return p.args(&a.Issuer)
	case "resource":
		return p.args(&a.Resource)
	case "no_resource":
		a.NoResource = true
		return p.args()
	case "allow_missing_pkce":
		a.AllowMissingPKCE = true
		return p.args()
	case "authorize_param":
		return p.authorizeParam(a)
	case "scope_separator":
		return p.args(&a.ScopeSeparator)
	default:
		return p.unknown("required, optional, scopes, client_id, client_secret, auth_method, callback_path, authorization_endpoint, token_endpoint, revocation_endpoint, issuer, resource, no_resource, allow_missing_pkce, authorize_param, scope_separator")
	}
}

func (p *parser) authorizeParam(a *Auth) error {
	var name, value string
	if err := p.args(&name, &value); err != nil {
		return err
	}
	if _, twice := a.AuthorizeParams[name]; twice {
		return p.Errf("authorize_param %s is already set; remove one", name)
	}
	if a.AuthorizeParams == nil {
		a.AuthorizeParams = map[string]string{}
	}
	a.AuthorizeParams[name] = value
	return nil
}

func (p *parser) pastedOption(a *Auth) error {
	switch p.Val() {
	case "header":
		args := p.RemainingArgs()
		if len(args) == 0 || len(args) > 3 {
			return p.Errf("header takes a name, and perhaps a prefix and a label, each in quotes if it has spaces")
		}
		args = append(args, "", "")
		a.Headers = append(a.Headers, AuthHeader{Name: args[0], Prefix: args[1], Label: args[2]})
		return nil
	case "verify_url":
		return p.args(&a.VerifyURL)
	default:
		return p.unknown("required, optional, header, verify_url")
	}
}
