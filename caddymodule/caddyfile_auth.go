package caddymodule

import (
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

var connectionOptions = block[config.Auth]{
	{name: "required", field: "optional", read: func(*parser, *config.Auth, line) error { return nil }},
	{name: "optional", read: setTrue(func(a *config.Auth) *bool { return &a.Optional })},
}

var oauthOptions = append(connectionOptions[:2:2], block[config.Auth]{
	{name: "scopes", args: "<scope>...", read: setList(func(a *config.Auth) *[]string { return &a.Scopes })},
	{name: "client_id", args: "<id|placeholder>", read: setText(func(a *config.Auth) *string { return &a.ClientID })},
	{name: "client_secret", args: "<placeholder>", read: setText(func(a *config.Auth) *string { return &a.ClientSecret })},
	{name: "auth_method", args: strings.Join(config.AuthMethods, "|"), read: setText(func(a *config.Auth) *string { return &a.AuthMethod })},
	{name: "callback_path", args: "<path>", read: setText(func(a *config.Auth) *string { return &a.CallbackPath })},
	{name: "authorization_endpoint", args: "<url>", read: setText(func(a *config.Auth) *string { return &a.AuthorizationEndpoint })},
	{name: "token_endpoint", args: "<url>", read: setText(func(a *config.Auth) *string { return &a.TokenEndpoint })},
	{name: "revocation_endpoint", args: "<url>", read: setText(func(a *config.Auth) *string { return &a.RevocationEndpoint })},
	{name: "issuer", args: "<url>", read: setText(func(a *config.Auth) *string { return &a.Issuer })},
	{name: "resource", args: "<url>", read: setText(func(a *config.Auth) *string { return &a.Resource })},
	{name: "no_resource", read: setTrue(func(a *config.Auth) *bool { return &a.NoResource })},
	{name: "metadata_document", args: "on|off", read: setOnOff(func(a *config.Auth) **bool { return &a.MetadataDocument })},
	{name: "no_refresh_rotation", read: setTrue(func(a *config.Auth) *bool { return &a.NoRefreshRotation })},
	{name: "allow_missing_pkce", read: setTrue(func(a *config.Auth) *bool { return &a.AllowMissingPKCE })},
	{name: "authorize_param", args: "<name> <value>", field: "authorize_params.*", read: readAuthorizeParam},
	{name: "scope_separator", args: "<text>", read: setText(func(a *config.Auth) *string { return &a.ScopeSeparator })},
}...)

var pastedOptions = append(connectionOptions[:2:2], block[config.Auth]{
	{name: "header", args: "<name> [<prefix> [<label>]]", field: "headers[]", read: readPastedHeader},
	{name: "verify_url", args: "<url>", read: setText(func(a *config.Auth) *string { return &a.VerifyURL })},
}...)

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
