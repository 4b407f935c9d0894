package caddymodule

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var (
	// schemePattern is a scheme (RFC 3986 section 3.1).
	schemePattern = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)
	hostPattern   = regexp.MustCompile(`^\.?[a-z0-9-]+(\.[a-z0-9-]+)*$`)
	// dangerousSchemes run or read something in the browser or system that
	// follows the redirect.
	dangerousSchemes = []string{"http", "https", "javascript", "data", "vbscript", "file", "about", "blob", "filesystem", "view-source", "ws", "wss", "ftp", "mailto", "tel"}
)

func (h *Handler) convertRegistration(cfg *authz.Config, resolve resolver) error {
	const option = "registration"
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
	for _, host := range slices.Concat(r.AllowHosts, r.DenyHosts) {
		if !hostPattern.MatchString(host) {
			return wrong(option, "%q is not a host; write it as example.com, or .example.com for all below it", host)
		}
	}
	to.AllowedHosts, to.DeniedHosts = r.AllowHosts, r.DenyHosts
	if r.InitialAccessToken != "" {
		hash, err := hashSecret(option, "initial_access_token", r.InitialAccessToken, resolve)
		if err != nil {
			return err
		}
		if to.InitialAccessToken = hash; hash == nil {
			to.InitialAccessToken = new(storage.Hash) // needed, though not known yet
		}
	}
	if err := setCount(&to.RatePerMinute, r.RateLimit, "rate_limit"); err != nil {
		return err
	}
	if err := setCount(&to.MaxUnused, r.MaxUnused, "max_unused"); err != nil {
		return err
	}
	if err := setCount(&to.MaxUnproved, r.MaxUnproved, "max_unproved"); err != nil {
		return err
	}
	switch d := time.Duration(r.UnusedLifetime); {
	case d == 0:
	case d < time.Minute:
		return wrong(option, "unused_lifetime must be at least 1m")
	default:
		to.UnusedLifetime = d
	}
	to.RedirectSchemes = slices.Clone(to.RedirectSchemes)
	for _, scheme := range r.RedirectSchemes {
		if !schemePattern.MatchString(scheme) {
			return wrong(option, "%q is not a URI scheme; write it in lower case without the colon", scheme)
		}
		if slices.Contains(dangerousSchemes, scheme) {
			return wrong(option, "the scheme %s cannot be allowed: it does not belong to one application", scheme)
		}
		to.RedirectSchemes = append(to.RedirectSchemes, scheme)
	}
	return nil
}

func setCount(to, from *int, what string) error {
	if from == nil {
		return nil
	}
	if *from < 0 {
		return wrong("registration", "%s must not be negative", strings.TrimSpace(what))
	}
	*to = *from
	return nil
}
