package caddymodule

import (
	"regexp"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var hostPattern = regexp.MustCompile(`^\.?[a-z0-9-]+(\.[a-z0-9-]+)*$`)

func (h *Handler) convertRegistration(cfg *authz.Config, resolve resolver) error {
	cfg.Registration = authz.DefaultRegistration
	r := h.Registration
	if r == nil {
		return nil
	}
	to := &cfg.Registration
	if r.Dynamic != nil {
		to.Dynamic = *r.Dynamic
	}
	if r.MetadataDocuments != nil {
		to.MetadataDocuments = *r.MetadataDocuments
	}
	for _, step := range []func(*authz.Registration, resolver) error{r.convertHosts, r.convertToken, r.convertCounts, r.convertSchemes} {
		if err := step(to, resolve); err != nil {
			return err
		}
	}
	return convertLifetime("registration.unused_lifetime", r.UnusedLifetime, time.Minute, maxLifetime, &to.UnusedLifetime)
}

// checkClients refuses a site that no client could ever use. A virtual key
// works without one.
func (h *Handler) checkClients(cfg *authz.Config, _ resolver) error {
	if cfg.Registration.Dynamic || cfg.Registration.MetadataDocuments || len(h.VirtualKeys) > 0 || hasSignInClient(h.Clients) {
		return nil
	}
	return wrong("registration", "no client could sign in with dynamic and metadata_documents off; turn one on, or add a client with redirect_uri")
}

// hasSignInClient reports whether a known client can sign people in.
func hasSignInClient(clients []Client) bool {
	return slices.ContainsFunc(clients, func(c Client) bool { return len(c.RedirectURIs) > 0 })
}

func (r *Registration) convertHosts(to *authz.Registration, _ resolver) error {
	for _, l := range []struct {
		field string
		hosts []string
	}{{"allow_hosts", r.AllowHosts}, {"deny_hosts", r.DenyHosts}} {
		for _, host := range l.hosts {
			if !hostPattern.MatchString(host) {
				return wrong("registration."+l.field, "%q is not a host; write it as example.com, or .example.com for all below it", host)
			}
		}
	}
	for _, host := range r.DenyHosts {
		if slices.Contains(r.AllowHosts, host) {
			return wrong("registration.deny_hosts", "%s is in allow_hosts, too; remove one", host)
		}
	}
	to.AllowedHosts, to.DeniedHosts = r.AllowHosts, r.DenyHosts
	return nil
}

func (r *Registration) convertToken(to *authz.Registration, resolve resolver) error {
	if r.InitialAccessToken == "" {
		return nil
	}
	hash, err := hashSecret("registration.initial_access_token", "token", r.InitialAccessToken, resolve)
	if err != nil {
		return err
	}
	if to.InitialAccessToken = hash; hash == nil {
		to.InitialAccessToken = new(storage.Hash) // needed, though not known yet
	}
	return nil
}

func (r *Registration) convertCounts(to *authz.Registration, _ resolver) error {
	for _, c := range []struct {
		field    string
		from, to *int
	}{
		{"rate_limit", r.RateLimit, &to.RatePerMinute}, {"max_unused", r.MaxUnused, &to.MaxUnused},
		{"max_unproved", r.MaxUnproved, &to.MaxUnproved},
	} {
		if c.from == nil {
			continue
		}
		if *c.from < 0 {
			return wrong("registration."+c.field, "must not be negative")
		}
		*c.to = *c.from
	}
	return nil
}

func (r *Registration) convertSchemes(to *authz.Registration, _ resolver) error {
	to.RedirectSchemes = slices.Clone(to.RedirectSchemes)
	for _, scheme := range r.RedirectSchemes {
		if err := oauth.CheckRedirectScheme(scheme); err != nil {
			return wrong("registration.redirect_schemes", "%q: %v", scheme, err)
		}
		to.RedirectSchemes = append(to.RedirectSchemes, scheme)
	}
	return nil
}
