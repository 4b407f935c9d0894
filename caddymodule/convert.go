package caddymodule

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

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
		h.convertPublicURL, h.convertDocumentation, h.convertServers, h.checkProxies, h.checkAuth, h.checkPassHeaders, h.convertIdentities, h.convertVirtualKeys, h.checkIdentityHeaders,
		h.convertRegistration, h.convertClients, h.checkClients, h.convertScopes, h.convertLifetimes,
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

func (h *Handler) convertDocumentation(cfg *authz.Config, _ resolver) error {
	cfg.Documentation = h.ServiceDocumentation
	return checkPageURL("service_documentation", h.ServiceDocumentation)
}

var identityKinds = []identity.Kind{identity.VirtualKey, identity.UserID, identity.Anonymous, identity.Caddy}

func (h *Handler) convertIdentities(cfg *authz.Config, _ resolver) error {
	if len(h.Identities) == 0 {
		return wrong("identities", "nobody could sign in; add identity with one of: %s", strings.Join(kindNames(), ", "))
	}
	for i, id := range h.Identities {
		path, kind := index("identities", i)+".kind", identity.Kind(id.Kind)
		if !slices.Contains(identityKinds, kind) {
			return wrong(path, "unknown identity %q%s", id.Kind, choice(id.Kind, kindNames()))
		}
		if slices.Contains(cfg.Identities, kind) {
			return wrong(path, "%s is listed twice; remove one", kind)
		}
		if kind == identity.VirtualKey && len(h.VirtualKeys) == 0 {
			return wrong(path, "nobody has a virtual_key to sign in with; add one, such as `virtual_key alice {env.ALICE_KEY}`")
		}
		if err := checkUser(index("identities", i), id); err != nil {
			return err
		}
		cfg.Identities = append(cfg.Identities, kind)
		if kind == identity.Caddy {
			cfg.Recheck = cmp.Or(time.Duration(id.Recheck), authz.DefaultRecheck)
		}
	}
	return nil
}

func kindNames() []string {
	names := make([]string, len(identityKinds))
	for i, k := range identityKinds {
		names[i] = string(k)
	}
	return names
}

func (h *Handler) convertOrigins(cfg *authz.Config, _ resolver) error {
	for i, o := range h.AllowedOrigins {
		if !validOrigin(o) {
			return wrong(index("allowed_origins", i), "%q is not a web origin; write scheme and host only, such as https://app.example.com", o)
		}
	}
	cfg.AllowedOrigins = h.AllowedOrigins
	return nil
}

var accentPattern = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

func (h *Handler) checkBranding(*authz.Config, resolver) error {
	if h.Branding != nil && h.Branding.Accent != "" && !accentPattern.MatchString(h.Branding.Accent) {
		return wrong("branding.accent", "%q is not a colour; write it as #rrggbb, in quotes", h.Branding.Accent)
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
