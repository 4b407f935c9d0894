package caddymodule

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/oidc"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// identityOptions are what follows the kind of an identity, for those that have
// options.
var identityOptions = map[identity.Kind]option[config.Identity]{
	identity.Caddy: {block: caddyUserOptions, read: func(p *parser, id *config.Identity, l line) error { return caddyUserOptions.read(p, l.path, id) }},
	identity.Dashboard: {block: dashboardOptions, read: func(p *parser, id *config.Identity, l line) error {
		id.Dashboard = new(config.Dashboard)
		return dashboardOptions.read(p, l.path+".dashboard", id.Dashboard)
	}},
	oidc.Kind: {args: "<issuer>", block: oidcOptions, read: func(p *parser, id *config.Identity, l line) error {
		id.OIDC = &config.OIDC{Issuer: l.args[0]}
		return oidcOptions.read(p, l.path+".oidc", id.OIDC)
	}},
	identity.Workload: {args: "<name> <issuer>", block: workloadOptions, read: func(p *parser, id *config.Identity, l line) error {
		id.Workload = &config.Workload{Name: l.args[0], Issuer: l.args[1]}
		return workloadOptions.read(p, l.path+".workload", id.Workload)
	}},
}

// identityLines returns how identities are written: on one line those of a word,
// then each that has options.
func identityLines() block[config.Site] {
	var words []string
	lines := block[config.Site]{{name: "identity", field: "identities[]", read: readIdentity}}
	for _, kind := range config.IdentityKinds() {
		o, ok := identityOptions[identity.Kind(kind)]
		if !ok {
			words = append(words, kind)
			continue
		}
		lines = append(lines, option[config.Site]{
			name: "identity", args: strings.TrimSpace(kind + " " + o.args), field: "identities[]", read: readIdentity, block: o.block,
		})
	}
	lines[0].args = strings.Join(words, "|")
	return lines
}

var caddyUserOptions = block[config.Identity]{
	{name: "user", args: "<placeholder>", read: setText(func(i *config.Identity) *string { return &i.User })},
	{name: "recheck", args: "<duration>", read: setDuration(func(i *config.Identity) *config.Duration { return &i.Recheck })},
}

var dashboardOptions = block[config.Dashboard]{
	{name: "authorize_url", args: "<url>", read: setText(func(d *config.Dashboard) *string { return &d.AuthorizeURL })},
	{name: "issuer", args: "<text>", read: setText(func(d *config.Dashboard) *string { return &d.Issuer })},
	{name: "audience", args: "<text>", read: setText(func(d *config.Dashboard) *string { return &d.Audience })},
	{name: "jwks_uri", args: "<url>", read: setText(func(d *config.Dashboard) *string { return &d.JWKSURI })},
	{name: "public_key", args: "<placeholder>", read: setText(func(d *config.Dashboard) *string { return &d.PublicKey })},
	{name: "secret", args: "<placeholder>", read: setText(func(d *config.Dashboard) *string { return &d.Secret })},
	{name: "claims", args: "<name>...", read: setList(func(d *config.Dashboard) *[]string { return &d.Claims })},
	{name: "allow", args: "<rule>...", read: setList(func(d *config.Dashboard) *[]string { return &d.Allow })},
	{name: "recheck", args: "<duration>", read: setDuration(func(d *config.Dashboard) *config.Duration { return &d.Recheck })},
	{name: "consent", args: "here|there", read: setText(func(d *config.Dashboard) *string { return &d.Consent })},
}

var oidcOptions = block[config.OIDC]{
	{name: "name", args: "<text>", read: setText(func(o *config.OIDC) *string { return &o.Name })},
	{name: "title", args: "<text>", read: setText(func(o *config.OIDC) *string { return &o.Title })},
	{name: "client_id", args: "<id|placeholder>", read: setText(func(o *config.OIDC) *string { return &o.ClientID })},
	{name: "client_secret", args: "<placeholder>", read: setText(func(o *config.OIDC) *string { return &o.ClientSecret })},
	{name: "auth_method", args: strings.Join(config.AuthMethods, "|"), read: setText(func(o *config.OIDC) *string { return &o.AuthMethod })},
	{name: "scopes", args: "<scope>...", read: setList(func(o *config.OIDC) *[]string { return &o.Scopes })},
	{name: "authorize_param", args: "<name> <value>", field: "authorize_params.*", read: setPair(func(o *config.OIDC) *map[string]string { return &o.AuthorizeParams })},
	// Each is one of group:<name>, domain:<domain>, email:<address>, claim:<name>=<value>.
	{name: "allow", args: "<rule>...", read: setList(func(o *config.OIDC) *[]string { return &o.Allow })},
	{name: "groups_claim", args: "<claim>", read: setText(func(o *config.OIDC) *string { return &o.GroupsClaim })},
	{name: "email", args: "verified|trusted", read: setText(func(o *config.OIDC) *string { return &o.Email })},
	{name: "claims", args: "<claim>...", read: setList(func(o *config.OIDC) *[]string { return &o.Claims })},
	{name: "max_age", args: "<duration>", read: setDuration(func(o *config.OIDC) *config.Duration { return &o.MaxAge })},
	{name: "acr_values", args: "<value>...", read: setList(func(o *config.OIDC) *[]string { return &o.ACRValues })},
	{name: "prompt", args: "login|consent|select_account", read: setText(func(o *config.OIDC) *string { return &o.Prompt })},
	{name: "userinfo", args: "on|off", read: setOnOff(func(o *config.OIDC) **bool { return &o.Userinfo })},
	{name: "recheck", args: "<duration>", read: setDuration(func(o *config.OIDC) *config.Duration { return &o.Recheck })},
}

var workloadOptions = block[config.Workload]{
	{name: "audience", args: "<text>", read: setText(func(w *config.Workload) *string { return &w.Audience })},
	{name: "jwks_uri", args: "<url>", read: setText(func(w *config.Workload) *string { return &w.JWKSURI })},
	{name: "jwks", args: "<json|placeholder>", read: setText(func(w *config.Workload) *string { return &w.JWKS })},
	{name: "ca", args: "<placeholder>", read: setText(func(w *config.Workload) *string { return &w.CA })},
	// Each is claim:<name>=<value>.
	{name: "allow", args: "<rule>...", read: setList(func(w *config.Workload) *[]string { return &w.Allow })},
	{name: "name_claim", args: "<claim>", read: setText(func(w *config.Workload) *string { return &w.NameClaim })},
	{name: "max_age", args: "<duration>", read: setDuration(func(w *config.Workload) *config.Duration { return &w.MaxAge })},
	{name: "servers", args: "<server id>...", read: setList(func(w *config.Workload) *[]string { return &w.Servers })},
	{name: "lifetime", args: "<duration>", read: setDuration(func(w *config.Workload) *config.Duration { return &w.Lifetime })},
}

func readIdentity(p *parser, h *config.Site, l line) error {
	id := config.Identity{Kind: identity.Kind(l.args[0])}
	var err error
	if o, ok := identityOptions[id.Kind]; ok {
		err = o.read(p, &id, line{l.args[1:], l.path})
	}
	h.Identities = append(h.Identities, id)
	return err
}

var clientOptions = block[config.Client]{
	{name: "name", args: "<text>", read: setText(func(c *config.Client) *string { return &c.Name })},
	{name: "secret", args: "<sha256:hash|placeholder>", read: setText(func(c *config.Client) *string { return &c.Secret })},
	{name: "redirect_uri", args: "<uri>...", field: "redirect_uris", read: setList(func(c *config.Client) *[]string { return &c.RedirectURIs })},
	{name: "jwks_uri", args: "<url>", read: setText(func(c *config.Client) *string { return &c.JWKSURI })},
	{name: "jwks", args: "<json>", read: readJWKS},
	{name: "introspect", read: setTrue(func(c *config.Client) *bool { return &c.Introspect })},
	{name: "client_credentials", read: setTrue(func(c *config.Client) *bool { return &c.ClientCredentials })},
	{name: "servers", args: "<server id>...", read: setList(func(c *config.Client) *[]string { return &c.Servers })},
	{name: "lifetime", args: "<duration>", read: setDuration(func(c *config.Client) *config.Duration { return &c.Lifetime })},
}

var registrationOptions = block[config.Registration]{
	{name: "dynamic", args: "on|off", read: setOnOff(func(r *config.Registration) **bool { return &r.Dynamic })},
	{name: "metadata_documents", args: "on|off", read: setOnOff(func(r *config.Registration) **bool { return &r.MetadataDocuments })},
	{name: "allow_hosts", args: "<host>...", read: setList(func(r *config.Registration) *[]string { return &r.AllowHosts })},
	{name: "deny_hosts", args: "<host>...", read: setList(func(r *config.Registration) *[]string { return &r.DenyHosts })},
	{name: "initial_access_token", args: "<sha256:hash|placeholder|required>", read: setText(func(r *config.Registration) *string { return &r.InitialAccessToken })},
	{name: "rate_limit", args: "<registrations per minute and address>", read: setCount(func(r *config.Registration) **int { return &r.RateLimit })},
	{name: "max_unused", args: "<count>", read: setCount(func(r *config.Registration) **int { return &r.MaxUnused })},
	{name: "max_unproved", args: "<count per address>", read: setCount(func(r *config.Registration) **int { return &r.MaxUnproved })},
	{name: "unused_lifetime", args: "<duration>", read: setDuration(func(r *config.Registration) *config.Duration { return &r.UnusedLifetime })},
	{name: "redirect_schemes", args: "<scheme>...", read: setList(func(r *config.Registration) *[]string { return &r.RedirectSchemes })},
}

var toolRuleOptions = rulesWith(access.AnnotationWords)

var ruleOptions = rulesWith(nil)

// rulesWith returns the options of a block of access rules that can name annotations.
func rulesWith(annotations []string) block[[]access.Rule] {
	const args = "<name>... [<condition>...] [when <expression>]"
	return block[[]access.Rule]{
		{name: "deny", args: args, field: "[]", read: readRule(annotations, func(r *access.Rule) *[]string { return &r.Deny })},
		{name: "allow", args: args, field: "[]", read: readRule(annotations, func(r *access.Rule) *[]string { return &r.Allow })},
		{name: "scope", args: "<scope|scope=provider_scope,...> <name>...", field: "[]", read: readScopeRule},
	}
}

// readScopeRule reads a rule that says which scopes calls need.
func readScopeRule(_ *parser, to *[]access.Rule, l line) error {
	r := access.Rule{Of: l.args[1:]}
	own, provider, both := strings.Cut(l.args[0], "=")
	if r.Scope = own; both {
		r.ProviderScopes = strings.Split(provider, ",")
	}
	*to = append(*to, r)
	return nil
}

func readRules(options block[[]access.Rule], field func(*config.Server) *[]access.Rule) func(*parser, *config.Server, line) error {
	return func(p *parser, s *config.Server, l line) error {
		rules := field(s)
		*rules = []access.Rule{}
		return options.read(p, l.path, rules)
	}
}

// readRule reads an access rule. What comes first is a name.
func readRule(annotations []string, names func(*access.Rule) *[]string) func(*parser, *[]access.Rule, line) error {
	return func(p *parser, to *[]access.Rule, l line) error {
		var r access.Rule
		args := l.args
		if at := slices.Index(args, "when"); at > 0 {
			if behind := args[min(at+2, len(args)):]; len(behind) > 0 && (access.IsWhom(behind[0]) || slices.Contains(annotations, behind[0])) {
				return p.here(l, "%q comes after the condition; write it before when", behind[0])
			}
			if len(args) != at+2 {
				return p.here(l, "after when comes one expression; put it in backquotes: when `tool.args.x == \"y\"`")
			}
			args, r.When = args[:at], args[at+1]
		}
		for i, arg := range args {
			switch {
			case i > 0 && slices.Contains(annotations, arg):
				r.Annotations = append(r.Annotations, arg)
			case i > 0 && access.IsWhom(arg):
				r.For = append(r.For, arg)
			case len(r.Annotations)+len(r.For) > 0:
				return p.here(l, "%q comes after whom or what the rule is for; write the names first", arg)
			default:
				*names(&r) = append(*names(&r), arg)
			}
		}
		*to = append(*to, r)
		return nil
	}
}

var pinOptions = block[config.PinTools]{
	{name: "approvers", args: "operator|person", read: setText(func(t *config.PinTools) *string { return &t.Approvers })},
	{name: "first_list", args: "trusted|held", read: setText(func(t *config.PinTools) *string { return &t.FirstList })},
}

func readPinTools(p *parser, s *config.Server, l line) error {
	s.PinTools = &config.PinTools{Mode: l.args[0]}
	return pinOptions.read(p, l.path, s.PinTools)
}

var pastedOptions = append(slices.Clip(connectionOptions), block[config.Auth]{
	{name: "header", args: "<name> [<prefix> [<label>]]", field: "headers[]", read: readPastedHeader},
	{name: "verify_url", args: "<url>", read: setText(func(a *config.Auth) *string { return &a.VerifyURL })},
}...)
