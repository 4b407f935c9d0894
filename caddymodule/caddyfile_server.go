package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

var serverOptions = block[config.Server]{
	{name: "title", args: "<text>", read: setText(func(s *config.Server) *string { return &s.Title })},
	{name: "resource_documentation", args: "<url>", read: setText(func(s *config.Server) *string { return &s.ResourceDocumentation })},
	{name: "resource_policy_uri", args: "<url>", read: setText(func(s *config.Server) *string { return &s.ResourcePolicyURI })},
	{name: "resource_tos_uri", args: "<url>", read: setText(func(s *config.Server) *string { return &s.ResourceTOSURI })},
	{name: "auth", args: "none", read: func(*parser, *config.Server, line) error { return nil }},
	{name: "auth", args: "headers", read: readAuthHeaders, block: free("<name> <value>")},
	{name: "auth", args: "per_user_oauth|oauth", read: readAuth(oauthOptions), block: oauthOptions},
	{name: "auth", args: "per_user_headers", read: readAuth(pastedOptions), block: pastedOptions},
	{name: "scopes", args: "<scope>...", read: setList(func(s *config.Server) *[]string { return &s.Scopes })},
	{name: "optional_scopes", args: "<scope>...", read: setList(func(s *config.Server) *[]string { return &s.OptionalScopes })},
	{name: "identity_header", args: "<name> user|identity|client|grant|scope", field: "identity_headers.*", read: readIdentityHeader},
	// X-Custom-* for all that start so.
	{name: "pass_headers", args: "<name>...", read: setList(func(s *config.Server) *[]string { return &s.PassHeaders })},
	{name: "proxy", args: "[<address>...]", field: "reverse_proxy", read: readProxy, block: free("<any subdirective of reverse_proxy>")},
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
