package caddymodule

import (
	"cmp"
	"net/url"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway/upstream"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// warn tells of what works but is probably not meant for production.
func (h *Handler) warn() {
	h.warnOfNames()
	for _, p := range h.cfg.Providers {
		if o := p.Options(); o.Allow == nil && o.IsPublic() {
			h.log.Warn("anybody can have an account at this identity provider, and so can sign in; say who may with allow, such as `allow domain:example.com` or `allow group:staff`",
				zap.String("issuer", o.Issuer))
		}
	}
	h.warnOfPlainSecrets()
	for _, s := range h.cfg.Servers {
		if (len(s.Headers) > 0 || s.Auth != nil) && s.URL.Scheme == "http" && !oauth.IsLoopbackHost(s.URL.Hostname()) {
			h.log.Warn("the credential for this server travels unencrypted", zap.String("server", s.ID))
		}
	}
	h.warnOfProxy()
	h.warnOfAddresses()
	h.warnOfNoEffect()
	for _, err := range h.cfg.AccessWarnings() {
		h.log.Warn("an access rule has no effect", zap.String("rule", adapted.locate(h, err).Error()))
	}
	for _, err := range h.cfg.UnknownPeople() {
		h.log.Warn("somebody in an access rule can be nobody here", zap.String("rule", adapted.locate(h, err).Error()))
	}
	if r := h.cfg.Registration; *r.Dynamic {
		if *r.RateLimit == 0 {
			h.log.Warn("registration rate_limit 0 lets anybody register clients as fast as they can; remove it for the default, 60 a minute and address")
		}
		if *r.MaxUnused == 0 {
			h.log.Warn("registration max_unused 0 lets anybody fill the disk with clients; remove it for the default, 10000")
		}
	}
}

// warnOfProxy tells that addresses which clients and servers name are not reached
// through a proxy, which would look names up and connect past our checks.
func (h *Handler) warnOfProxy() {
	if cmp.Or(os.Getenv("HTTPS_PROXY"), os.Getenv("https_proxy")) == "" {
		return
	}
	if *h.cfg.Registration.MetadataDocuments || len(h.cfg.ConnectedServers()) > 0 {
		h.log.Warn("HTTPS_PROXY is set, but client metadata documents and the providers that MCP servers name are fetched without it; " +
			"allow Caddy outgoing https, or set metadata_documents off in registration if clients need not use documents")
	}
}

// warnOfAddresses tells where a call goes if that is not where its URL says.
func (h *Handler) warnOfAddresses() {
	for _, s := range h.cfg.Servers {
		if own, to := upstream.OtherAddresses(s); len(to) > 0 {
			h.log.Warn("calls go to the addresses in proxy, not to the host of the server's URL, which is only sent as Host; leave it at one of the two",
				zap.String("server", s.ID), zap.String("url_host", own), zap.Strings("to", to))
		}
	}
}

// warnOfNoEffect names options that change nothing beside others.
func (h *Handler) warnOfNoEffect() {
	warn := func(option, reason string) {
		h.log.Warn("an option has no effect", zap.String("option", option), zap.String("reason", reason))
	}
	r, l := h.cfg.Registration, h.cfg.Lifetimes
	if !*r.Dynamic && r.NeedsToken() {
		warn("registration initial_access_token", "dynamic is off")
	}
	if !*r.MetadataDocuments && len(r.AllowHosts)+len(r.DenyHosts) > 0 {
		warn("registration allow_hosts, deny_hosts", "metadata_documents is off")
	}
	if !*r.Dynamic && !*r.MetadataDocuments && !h.HasSignInClient() {
		warn("identity", "no client can sign in people: registration is off and there is no client with redirect_uri; only virtual keys work, as bearer tokens")
	}
	if h.RefreshTokenLifetime != 0 && l.RefreshTokenLifetime > l.AbsoluteGrantLifetime {
		warn("refresh_token_lifetime", "absolute_grant_lifetime is shorter and ends the token")
	}
	if h.AccessTokenLifetime != 0 && l.AccessTokenLifetime > l.AbsoluteGrantLifetime {
		warn("access_token_lifetime", "absolute_grant_lifetime is shorter and ends the token")
	}
	if h.Signing != nil && !h.cfg.Signs() {
		warn("signing", "nothing is signed: there is neither access_token_format jwt nor identity_jwt")
	}
	for _, claim := range h.AccessTokenClaims {
		if !h.keepsClaim(claim) {
			warn("access_token_claims "+claim, "no identity keeps such a claim; add it to the claims of identity oidc or dashboard")
		}
	}
	for _, s := range h.Servers {
		if s.Auth != nil && s.Auth.Optional && s.Auth.Mode == config.OAuth {
			warn("auth oauth optional", "an operator connects the account, so no person can be asked; server "+s.ID)
		}
	}
}

// keepsClaim reports whether some identity may have a claim.
func (h *Handler) keepsClaim(name string) bool {
	return slices.Contains([]string{"email", "groups", "name"}, name) || slices.ContainsFunc(h.Identities, func(id config.Identity) bool {
		return id.OIDC != nil && slices.Contains(id.OIDC.Claims, name) || id.Dashboard != nil && slices.Contains(id.Dashboard.Claims, name)
	})
}

// warnOfNames tells what anybody gets who gives another person's name.
func (h *Handler) warnOfNames() {
	methods := h.cfg.SignIn.UnverifiedNames()
	if len(methods) == 0 {
		return
	}
	for _, m := range methods {
		h.log.Warn("identity " + string(m.Kind) + " does not verify who people are; use it only where nobody has a reason to lie")
	}
	for _, s := range h.Servers {
		for name, claim := range s.IdentityHeaders {
			if claim == "user" {
				h.log.Warn("this server is told unverified names; use the value identity, which says how a person signed in",
					zap.String("server", s.ID), zap.String("identity_header", name))
			}
		}
	}
	var personal []string
	for _, s := range h.cfg.ConnectedServers() {
		if s.Auth.Mode != config.OAuth {
			personal = append(personal, s.ID)
		}
	}
	if len(personal) == 0 || config.IsLoopbackURL(h.cfg.Issuer) {
		return
	}
	for _, m := range methods {
		who := "anybody who reaches this site"
		if m.ExcludesStrangers {
			who = "anybody who can sign in to this site"
		}
		h.log.Warn(who+" can use everybody's accounts at these servers: with identity "+string(m.Kind)+" it is enough to say a person's name; use identity virtual_key or caddy instead",
			zap.String("public_url", h.cfg.Issuer), zap.Strings("servers", personal))
	}
}

// warnOfPlainSecrets names the secrets that are in plain text in the
// configuration. It shows none.
func (h *Handler) warnOfPlainSecrets() {
	const advice = " is in plain text in the configuration, which can be read in many places; use a placeholder such as {env.SECRET}"
	for _, s := range h.Servers {
		if s.Auth != nil && s.Auth.ClientSecret != "" && config.IsPlain(s.Auth.ClientSecret) {
			h.log.Warn("a client_secret"+advice, zap.String("server", s.ID))
		}
		for name, value := range s.Headers {
			if secretName(name) && config.IsPlain(value) {
				h.log.Warn("a credential"+advice, zap.String("server", s.ID), zap.String("header", name))
			}
		}
		for name, values := range s.ProxyHeaders() {
			if secretName(name) && slices.ContainsFunc(values, config.IsPlain) {
				h.log.Warn("a credential"+advice+", in auth headers", zap.String("server", s.ID), zap.String("header_up", name))
			}
		}
		for name, values := range queryOf(s.Upstream) {
			if secretName(name) && slices.ContainsFunc(values, config.IsPlain) {
				h.log.Warn("a credential"+advice, zap.String("server", s.ID), zap.String("query_parameter", name))
			}
		}
	}
}

// secretName reports whether a header or parameter of this name usually
// carries a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "key", "token", "secret", "passw", "cookie", "credential", "signature"},
		func(word string) bool { return strings.Contains(name, word) })
}

// queryOf returns the query of a URL, placeholders included.
func queryOf(text string) url.Values {
	_, query, _ := strings.Cut(text, "?")
	values, _ := url.ParseQuery(query) // of a mistake, what is right
	return values
}

// warnOfUnmatched tells, once for this configuration, which names in access rules stand
// for nothing that a server listed, as soon as it has listed all.
func (h *Handler) warnOfUnmatched(offers func(server string) *catalog.Server) {
	for _, err := range h.cfg.UnmatchedNames(func(server string, kind access.Kind) []string {
		known := offers(server)
		if !known.HasEnded(kind) {
			return nil
		}
		if _, checked := h.unmatched.LoadOrStore(server+" "+kind.String(), true); checked {
			return nil
		}
		names := []string{}
		for _, e := range known.All(kind) {
			names = append(names, e.Name)
		}
		return names
	}) {
		h.log.Warn("a name in an access rule stands for nothing", zap.String("rule", adapted.locate(h, err).Error()))
	}
}
