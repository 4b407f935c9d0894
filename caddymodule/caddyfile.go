package caddymodule

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/siteblock"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
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
//	    identity virtual_key|user_id|anonymous  # repeatable
//	    identity caddy {  # repeatable
//	        user <placeholder>
//	        recheck <duration>
//	    }
//	    identity dashboard {  # repeatable
//	        authorize_url <url>
//	        issuer <text>
//	        audience <text>
//	        jwks_uri <url>
//	        public_key <placeholder>
//	        secret <placeholder>
//	        claims <name>...
//	        allow <rule>...
//	        recheck <duration>
//	        consent here|there
//	    }
//	    identity oidc <issuer> {  # repeatable
//	        name <text>
//	        title <text>
//	        client_id <id|placeholder>
//	        client_secret <placeholder>
//	        auth_method client_secret_basic|client_secret_post|private_key_jwt|none
//	        scopes <scope>...
//	        authorize_param <name> <value>  # repeatable
//	        allow <rule>...
//	        groups_claim <claim>
//	        email verified|trusted
//	        claims <claim>...
//	        max_age <duration>
//	        acr_values <value>...
//	        prompt login|consent|select_account
//	        userinfo on|off
//	        recheck <duration>
//	    }
//	    identity workload <name> <issuer> {  # repeatable
//	        audience <text>
//	        jwks_uri <url>
//	        jwks <json|placeholder>
//	        ca <placeholder>
//	        allow <rule>...
//	        name_claim <claim>
//	        max_age <duration>
//	        servers <server id>...
//	        lifetime <duration>
//	    }
//	    virtual_key <name> <sha256:hash|placeholder> [<server id>...]  # repeatable
//	    client <id> {  # repeatable
//	        name <text>
//	        secret <sha256:hash|placeholder>
//	        redirect_uri <uri>...
//	        jwks_uri <url>
//	        jwks <json>
//	        introspect
//	        client_credentials
//	        servers <server id>...
//	        lifetime <duration>
//	    }
//	    server <id> [<path>] [<upstream URL or preset>] {  # repeatable
//	        title <text>
//	        resource_documentation <url>
//	        resource_policy_uri <url>
//	        resource_tos_uri <url>
//	        auth none
//	        auth headers {
//	            <name> <value>  # repeatable
//	        }
//	        auth per_user_oauth|oauth {
//	            required
//	            optional
//	            accounts several
//	            max_accounts <count>
//	            scopes <scope>...
//	            client_id <id|placeholder>
//	            client_secret <placeholder>
//	            auth_method client_secret_basic|client_secret_post|private_key_jwt|none
//	            callback_path <path>
//	            authorization_endpoint <url>
//	            token_endpoint <url>
//	            revocation_endpoint <url>
//	            issuer <url>
//	            resource <url>
//	            no_resource
//	            metadata_document on|off
//	            no_refresh_rotation
//	            allow_missing_pkce
//	            authorize_param <name> <value>  # repeatable
//	            user_token
//	            account_name <member>...
//	            account_url <url>
//	            expect_domain <domain>...
//	            scope_separator <text>
//	        }
//	        auth per_user_headers {
//	            required
//	            optional
//	            accounts several
//	            max_accounts <count>
//	            header <name> [<prefix> [<label>]]  # repeatable
//	            verify_url <url>
//	        }
//	        allow <rule>...
//	        tools {
//	            deny <name>... [<condition>...] [when <expression>]  # repeatable
//	            allow <name>... [<condition>...] [when <expression>]  # repeatable
//	            scope <scope|scope=provider_scope,...> <name>...  # repeatable
//	        }
//	        resources {
//	            deny <name>... [<condition>...] [when <expression>]  # repeatable
//	            allow <name>... [<condition>...] [when <expression>]  # repeatable
//	            scope <scope|scope=provider_scope,...> <name>...  # repeatable
//	        }
//	        prompts {
//	            deny <name>... [<condition>...] [when <expression>]  # repeatable
//	            allow <name>... [<condition>...] [when <expression>]  # repeatable
//	            scope <scope|scope=provider_scope,...> <name>...  # repeatable
//	        }
//	        pin_tools off|warn|hold {
//	            approvers operator|person
//	            first_list trusted|held
//	        }
//	        refusals plain|explain
//	        scopes <scope>...
//	        optional_scopes <scope>...
//	        identity_header <name> user|identity|email|groups|name|client|grant|scope  # repeatable
//	        identity_jwt <name>
//	        pass_headers <name>...
//	        metric_tools <name>...
//	        proxy [<address>...] {
//	            <any subdirective of reverse_proxy>  # repeatable
//	        }
//	    }
//	    scope <name> <description>  # repeatable
//	    access_token_lifetime <duration>
//	    refresh_token_lifetime <duration>
//	    grant_lifetime <duration>
//	    absolute_grant_lifetime <duration>
//	    flow_lifetime <duration>
//	    code_lifetime <duration>
//	    refresh_reuse_grace <duration>
//	    access_token_format opaque|jwt
//	    access_token_claims <name>...
//	    signing {
//	        algorithm EdDSA|ES256|RS256
//	        rotate <duration>
//	    }
//	    service_documentation <url>
//	    registration {
//	        dynamic on|off
//	        metadata_documents on|off
//	        allow_hosts <host>...
//	        deny_hosts <host>...
//	        initial_access_token <sha256:hash|placeholder|required>
//	        rate_limit <registrations per minute and address>
//	        max_unused <count>
//	        max_unproved <count per address>
//	        unused_lifetime <duration>
//	        redirect_schemes <scheme>...
//	    }
//	    allowed_origins <origin>...
//	    audit on|required
//	    branding {
//	        name <text>
//	        accent <#rrggbb>
//	        logo <file>
//	    }
//	    insecure_allow_loopback
//	}
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	p := newParser(h.Dispenser, h)
	if p.NextArg() {
		return nil, p.here(line{}, "mcp_oauth takes no argument and no matcher: its documents are at the root of the site; remove %q", p.Val())
	}
	handler := new(Handler)
	if err := siteOptions.read(p, "", &handler.Site); err != nil {
		return nil, err
	}
	if err := siteblock.CheckAddresses(h); err != nil {
		return nil, p.lines.withLine(err)
	}
	if handler.PublicURL == "" {
		url, err := siteblock.URL(h)
		if err != nil {
			return nil, p.lines.withLine(err)
		}
		handler.PublicURL = url
	}
	if _, _, err := resolveSite(&handler.Site, config.KeepPlaceholders); err != nil {
		return nil, p.lines.withLine(err)
	}
	adapted.remember(handler, p.lines)
	adapted.rememberBeside(handler, siteblock.Directives(h))
	return h.NewRoute(nil, handler), nil
}

var siteOptions = slices.Concat(block[config.Site]{
	{name: "public_url", args: "<url>", read: setText(func(h *config.Site) *string { return &h.PublicURL })},
}, identityLines(), block[config.Site]{
	{name: "virtual_key", args: "<name> <sha256:hash|placeholder> [<server id>...]", field: "virtual_keys[]", read: readVirtualKey},
	{name: "client", args: "<id>", field: "clients[]", read: readClient, block: clientOptions},
	{name: "server", args: "<id> [<path>] [<upstream URL or preset>]", field: "servers[]", read: readServer, block: serverOptions},
	{name: "scope", args: "<name> <description>", field: "scopes[]", read: readScope},
	{name: "access_token_lifetime", args: "<duration>", read: setDuration(func(h *config.Site) *config.Duration { return &h.AccessTokenLifetime })},
	{name: "refresh_token_lifetime", args: "<duration>", read: setDuration(func(h *config.Site) *config.Duration { return &h.RefreshTokenLifetime })},
	{name: "grant_lifetime", args: "<duration>", read: setDuration(func(h *config.Site) *config.Duration { return &h.GrantLifetime })},
	{name: "absolute_grant_lifetime", args: "<duration>", read: setDuration(func(h *config.Site) *config.Duration { return &h.AbsoluteGrantLifetime })},
	{name: "flow_lifetime", args: "<duration>", read: setDuration(func(h *config.Site) *config.Duration { return &h.FlowLifetime })},
	{name: "code_lifetime", args: "<duration>", read: setDuration(func(h *config.Site) *config.Duration { return &h.CodeLifetime })},
	{name: "refresh_reuse_grace", args: "<duration>", read: readReuseGrace},
	{name: "access_token_format", args: "opaque|jwt", read: setText(func(h *config.Site) *string { return &h.AccessTokenFormat })},
	{name: "access_token_claims", args: "<name>...", read: setList(func(h *config.Site) *[]string { return &h.AccessTokenClaims })},
	{name: "signing", read: readSigning, block: signingOptions},
	{name: "service_documentation", args: "<url>", read: setText(func(h *config.Site) *string { return &h.ServiceDocumentation })},
	{name: "registration", read: readRegistration, block: registrationOptions},
	{name: "allowed_origins", args: "<origin>...", read: setList(func(h *config.Site) *[]string { return &h.AllowedOrigins })},
	{name: "audit", args: "on|required", read: setText(func(h *config.Site) *string { return &h.Audit })},
	{name: "branding", read: readBranding, block: brandingOptions},
	{name: "insecure_allow_loopback", read: setTrue(func(h *config.Site) *bool { return &h.InsecureAllowLoopback })},
})

var serverOptions = block[config.Server]{
	{name: "title", args: "<text>", read: setText(func(s *config.Server) *string { return &s.Title })},
	{name: "resource_documentation", args: "<url>", read: setText(func(s *config.Server) *string { return &s.ResourceDocumentation })},
	{name: "resource_policy_uri", args: "<url>", read: setText(func(s *config.Server) *string { return &s.ResourcePolicyURI })},
	{name: "resource_tos_uri", args: "<url>", read: setText(func(s *config.Server) *string { return &s.ResourceTOSURI })},
	{name: "auth", args: "none", read: func(*parser, *config.Server, line) error { return nil }},
	{name: "auth", args: "headers", read: readAuthHeaders, block: free("<name> <value>")},
	{name: "auth", args: "per_user_oauth|oauth", read: readAuth(oauthOptions), block: oauthOptions},
	{name: "auth", args: "per_user_headers", read: readAuth(pastedOptions), block: pastedOptions},
	{name: "allow", args: "<rule>...", read: setList(func(s *config.Server) *[]string { return &s.Allow })},
	{name: "tools", read: readRules(toolRuleOptions, func(s *config.Server) *[]access.Rule { return &s.Tools }), block: toolRuleOptions},
	{name: "resources", read: readRules(ruleOptions, func(s *config.Server) *[]access.Rule { return &s.Resources }), block: ruleOptions},
	{name: "prompts", read: readRules(ruleOptions, func(s *config.Server) *[]access.Rule { return &s.Prompts }), block: ruleOptions},
	{name: "pin_tools", args: "off|warn|hold", read: readPinTools, block: pinOptions},
	{name: "refusals", args: "plain|explain", read: setText(func(s *config.Server) *string { return &s.Refusals })},
	{name: "scopes", args: "<scope>...", read: setList(func(s *config.Server) *[]string { return &s.Scopes })},
	{name: "optional_scopes", args: "<scope>...", read: setList(func(s *config.Server) *[]string { return &s.OptionalScopes })},
	{name: "identity_header", args: "<name> user|identity|email|groups|name|client|grant|scope", field: "identity_headers.*", read: setPair(func(s *config.Server) *map[string]string { return &s.IdentityHeaders })},
	{name: "identity_jwt", args: "<name>", read: setText(func(s *config.Server) *string { return &s.IdentityJWT })},
	// X-Custom-* for all that start so.
	{name: "pass_headers", args: "<name>...", read: setList(func(s *config.Server) *[]string { return &s.PassHeaders })},
	{name: "metric_tools", args: "<name>...", read: setList(func(s *config.Server) *[]string { return &s.MetricTools })},
	{name: "proxy", args: "[<address>...]", field: "reverse_proxy", read: readProxy, block: free("<any subdirective of reverse_proxy>")},
}

var connectionOptions = block[config.Auth]{
	{name: "required", field: "optional", read: func(*parser, *config.Auth, line) error { return nil }},
	{name: "optional", read: setTrue(func(a *config.Auth) *bool { return &a.Optional })},
	{name: "accounts", args: "several", read: setText(func(a *config.Auth) *string { return &a.Accounts })},
	{name: "max_accounts", args: "<count>", read: setCount(func(a *config.Auth) **int { return &a.MaxAccounts })},
}

var oauthOptions = append(slices.Clip(connectionOptions), block[config.Auth]{
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
	{name: "authorize_param", args: "<name> <value>", field: "authorize_params.*", read: setPair(func(a *config.Auth) *map[string]string { return &a.AuthorizeParams })},
	{name: "user_token", read: setTrue(func(a *config.Auth) *bool { return &a.UserToken })},
	{name: "account_name", args: "<member>...", read: setList(func(a *config.Auth) *[]string { return &a.AccountName })},
	{name: "account_url", args: "<url>", read: setText(func(a *config.Auth) *string { return &a.AccountURL })},
	{name: "expect_domain", args: "<domain>...", read: setList(func(a *config.Auth) *[]string { return &a.ExpectDomain })},
	{name: "scope_separator", args: "<text>", read: setText(func(a *config.Auth) *string { return &a.ScopeSeparator })},
}...)
