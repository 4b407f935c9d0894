package caddymodule

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/presets"
)

// parser reads the mcp_oauth blocks of a Caddyfile.
type parser struct {
	*caddyfile.Dispenser
	helper httpcaddyfile.Helper
	lines  lines
	blocks []namedBlock // all there are
}

// namedBlock is a block and where it belongs.
type namedBlock struct {
	title   string
	grammar grammar
}

// newParser starts at the directive or global option.
func newParser(d *caddyfile.Dispenser, helper httpcaddyfile.Helper) *parser {
	d.Next()
	return &parser{d, helper, lines{"": {token: d.Token()}}, blocks()}
}

// blocks are all blocks there are.
func blocks() []namedBlock {
	return []namedBlock{
		{"the mcp_oauth block of a site", siteOptions},
		{"the global mcp_oauth block, in the braces at the top of the Caddyfile", globalOptions()},
		{"the block of a server", serverOptions},
		{"the block of tools", toolRuleOptions},
		{"the block of resources or prompts", ruleOptions},
		{"the block of pin_tools", pinOptions},
		{"the block of auth oauth or per_user_oauth", oauthOptions},
		{"the block of auth per_user_headers", pastedOptions},
		{"the block of identity caddy", caddyUserOptions},
		{"the block of identity dashboard", dashboardOptions},
		{"the block of identity oidc", oidcOptions},
		{"the block of identity workload", workloadOptions},
		{"the block of a client", clientOptions},
		{"the block of registration", registrationOptions},
		{"the block of branding", brandingOptions},
		{"the block of signing", signingOptions},
		{"the block of storage bbolt", bboltOptions},
		{"the block of storage postgres", postgresOptions},
	}
}

// opensBlock reports whether a block follows on the same line.
func (p *parser) opensBlock() bool {
	at := p.Token()
	if !p.Next() {
		return false
	}
	defer p.Prev()
	return p.Val() == "{" && p.Line() == at.Line && p.File() == at.File
}

// here adds the line that is being read to an error.
func (p *parser) here(l line, format string, args ...any) error {
	return p.lines.withLine(config.Errorf(l.path, format, args...))
}

func setText[T any](field func(*T) *string) func(*parser, *T, line) error {
	return func(_ *parser, to *T, l line) error {
		*field(to) = l.args[0]
		return nil
	}
}

func setList[T any](field func(*T) *[]string) func(*parser, *T, line) error {
	return func(_ *parser, to *T, l line) error {
		*field(to) = l.args
		return nil
	}
}

// setPair reads an option that adds a name with its value.
func setPair[T any](field func(*T) *map[string]string) func(*parser, *T, line) error {
	return func(_ *parser, to *T, l line) error {
		if *field(to) == nil {
			*field(to) = map[string]string{}
		}
		(*field(to))[l.args[0]] = l.args[1]
		return nil
	}
}

// setTrue reads an option that sets something by being there.
func setTrue[T any](field func(*T) *bool) func(*parser, *T, line) error {
	return func(_ *parser, to *T, _ line) error {
		*field(to) = true
		return nil
	}
}

func setOnOff[T any](field func(*T) **bool) func(*parser, *T, line) error {
	return func(_ *parser, to *T, l line) error {
		on := l.args[0] == "on"
		*field(to) = &on
		return nil
	}
}

func setCount[T any](field func(*T) **int) func(*parser, *T, line) error {
	return func(p *parser, to *T, l line) error {
		n, err := strconv.Atoi(l.args[0])
		if err != nil || n < 0 {
			return p.here(l, "%q is not a whole number from 0", l.args[0])
		}
		*field(to) = &n
		return nil
	}
}

// setDuration reads a duration that is not zero: in the JSON that is the default.
func setDuration[T any](field func(*T) *config.Duration) func(*parser, *T, line) error {
	return func(p *parser, to *T, l line) error {
		d, err := p.duration(l)
		if err == nil && d == 0 {
			return p.here(l, "%s; remove the line for the default", config.TooShort(time.Second))
		}
		*field(to) = config.Duration(d)
		return err
	}
}

func (p *parser) duration(l line) (time.Duration, error) {
	d, err := config.ParseDuration(l.args[0])
	if err != nil || d < 0 {
		return 0, p.here(l, "%q is not a duration; write it as 15m, 1h or 30d", l.args[0])
	}
	return d, nil
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

var signingOptions = block[config.Signing]{
	{name: "algorithm", args: "EdDSA|ES256|RS256", read: setText(func(s *config.Signing) *string { return &s.Algorithm })},
	{name: "rotate", args: "<duration>", read: setDuration(func(s *config.Signing) *config.Duration { return &s.Rotate })},
}

var brandingOptions = block[config.Branding]{
	{name: "name", args: "<text>", read: setText(func(b *config.Branding) *string { return &b.Name })},
	{name: "accent", args: "<#rrggbb>", read: setText(func(b *config.Branding) *string { return &b.Accent })},
	{name: "logo", args: "<file>", read: setText(func(b *config.Branding) *string { return &b.Logo })},
}

func readSigning(p *parser, h *config.Site, l line) error {
	h.Signing = new(config.Signing)
	return signingOptions.read(p, l.path, h.Signing)
}

func readBranding(p *parser, h *config.Site, l line) error {
	h.Branding = new(config.Branding)
	return brandingOptions.read(p, l.path, h.Branding)
}

// readServer reads a server. Where its URL is left out, or is the name of a preset,
// it is completed from that.
func readServer(p *parser, h *config.Site, l line) error {
	args := append(slices.Clone(l.args), "", "")
	s := &config.Server{ID: args[0], Path: args[1], Upstream: args[2]}
	name := s.ID
	if s.Upstream != "" && !presets.IsURL(s.Upstream) {
		name, s.Upstream = s.Upstream, ""
	}
	h.Servers = append(h.Servers, s)
	if err := serverOptions.read(p, l.path, s); err != nil || s.Upstream != "" {
		return err
	}
	preset := presets.Find(name)
	if preset == nil {
		known := config.Choice(name, presets.Names())
		if !strings.Contains(known, "did you mean") {
			known = ", see `caddy mcp-oauth presets`."
		}
		return p.here(l, "there is no URL, and no preset with the name %q%s Write `server <id> <path> <upstream URL>` (a {$NAME} that is not set leaves nothing)", name, known)
	}
	if preset.Complete(s); preset.NeedsApplication(s) {
		return p.here(l, "%s takes registered applications only: register one at %s with the callback URL <public_url>%s/%s, and set client_id",
			preset.Title, preset.Application, config.SharedCallbackPath, s.ID)
	}
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

func readPastedHeader(_ *parser, a *config.Auth, l line) error {
	args := append(l.args, "", "")
	a.Headers = append(a.Headers, config.AuthHeader{Name: args[0], Prefix: args[1], Label: args[2]})
	return nil
}
