package caddymodule

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

// defaultScope is what a call needs where the operator names nothing.
const defaultScope = "mcp:use"

// convert returns the handler's configuration as the authorization server
// takes it, or the first mistake in it. It is the only judge of a
// configuration: it runs when a Caddyfile is adapted, where placeholders are
// not known yet, and again when any configuration is loaded.
func (h *Handler) convert(resolve resolver) (authz.Config, error) {
	var cfg authz.Config
	for _, step := range []func(*authz.Config, resolver) error{
		h.convertPublicURL, h.convertServers, h.checkAuth, h.checkPassHeaders, h.convertIdentities, h.convertVirtualKeys, h.checkIdentityHeaders,
		h.convertRegistration, h.convertClients, h.convertScopes, h.convertLifetimes,
		h.convertOrigins, h.checkBranding, h.checkInsecure,
	} {
		if err := step(&cfg, resolve); err != nil {
			return authz.Config{}, err
		}
	}
	return cfg, nil
}

func (h *Handler) convertPublicURL(cfg *authz.Config, resolve resolver) error {
	text, known, err := resolve(h.PublicURL)
	if err != nil {
		return wrong("public_url", "%v", err)
	}
	if !known {
		return nil
	}
	cfg.Issuer, err = parsePublicURL(text)
	return err
}

var identityKinds = []identity.Kind{identity.VirtualKey, identity.UserID, identity.Anonymous, identity.Caddy}

func (h *Handler) convertIdentities(cfg *authz.Config, _ resolver) error {
	if len(h.Identities) == 0 {
		return wrong("identity", "nobody could sign in; add at least one of: %s", kindNames())
	}
	for _, id := range h.Identities {
		kind := identity.Kind(id.Kind)
		if !slices.Contains(identityKinds, kind) {
			return wrong("identity", "unknown identity %q; use one of: %s", id.Kind, kindNames())
		}
		if slices.Contains(cfg.Identities, kind) {
			return wrong("identity", "%s is listed twice; remove one", kind)
		}
		cfg.Identities = append(cfg.Identities, kind)
	}
	return nil
}

func kindNames() string {
	names := make([]string, len(identityKinds))
	for i, k := range identityKinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

func (h *Handler) convertScopes(cfg *authz.Config, _ resolver) error {
	cfg.Scopes = make(map[string]string, len(h.Scopes))
	for _, s := range h.Scopes {
		if !validScope(s.Name) {
			return wrong("scope", "%q is not a scope; use printable ASCII without space, quote and backslash", s.Name)
		}
		if _, twice := cfg.Scopes[s.Name]; twice {
			return wrong("scope", "%s is described twice; remove one", s.Name)
		}
		cfg.Scopes[s.Name] = s.Description
	}
	return nil
}

// validScope checks a scope-token (RFC 6749 section 3.3).
func validScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

func (h *Handler) convertLifetimes(cfg *authz.Config, _ resolver) error {
	cfg.Lifetimes = authz.DefaultLifetimes
	for _, l := range []struct {
		option string
		value  caddy.Duration
		to     *time.Duration
	}{
		{"access_token_lifetime", h.AccessTokenLifetime, &cfg.Lifetimes.AccessToken},
		{"refresh_token_lifetime", h.RefreshTokenLifetime, &cfg.Lifetimes.RefreshToken},
		{"grant_lifetime", h.GrantLifetime, &cfg.Lifetimes.Grant},
		{"absolute_grant_lifetime", h.AbsoluteGrantLifetime, &cfg.Lifetimes.AbsoluteGrant},
		{"flow_lifetime", h.FlowLifetime, &cfg.Lifetimes.Flow},
		{"code_lifetime", h.CodeLifetime, &cfg.Lifetimes.Code},
	} {
		switch d := time.Duration(l.value); {
		case d == 0:
		case d < time.Second:
			return wrong(l.option, "must be at least 1s")
		default:
			*l.to = d
		}
	}
	cfg.RefreshReuseGrace = authz.DefaultRefreshReuseGrace
	if h.RefreshReuseGrace != nil {
		cfg.RefreshReuseGrace = time.Duration(*h.RefreshReuseGrace)
	}
	if cfg.RefreshReuseGrace < 0 || cfg.RefreshReuseGrace > time.Hour {
		return wrong("refresh_reuse_grace", "must be between 0 and 1h")
	}
	return nil
}

func (h *Handler) convertOrigins(cfg *authz.Config, _ resolver) error {
	for _, o := range h.AllowedOrigins {
		if !validOrigin(o) {
			return wrong("allowed_origins", "%q is not a web origin; write scheme and host only, such as https://app.example.com", o)
		}
	}
	cfg.AllowedOrigins = h.AllowedOrigins
	return nil
}

var accentPattern = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

func (h *Handler) checkBranding(*authz.Config, resolver) error {
	if h.Branding != nil && h.Branding.Accent != "" && !accentPattern.MatchString(h.Branding.Accent) {
		return wrong("branding", "accent %q is not a colour; write it as #rrggbb, in quotes", h.Branding.Accent)
	}
	return nil
}

// checkInsecure keeps what makes development easy out of production.
func (h *Handler) checkInsecure(cfg *authz.Config, _ resolver) error {
	if h.InsecureAllowLoopback && cfg.Issuer != "" && !isLoopbackURL(cfg.Issuer) {
		return wrong("insecure_allow_loopback", "only allowed while public_url is on loopback; remove it")
	}
	return nil
}
