package config

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Registration is the policy for clients that the operator does not know.
type Registration struct {
	// Dynamic serves dynamic registration (RFC 7591, RFC 7592). Default: true.
	Dynamic *bool `json:"dynamic,omitempty"`
	// MetadataDocuments accepts https URLs as client ids. Default: true.
	MetadataDocuments *bool `json:"metadata_documents,omitempty"`
	// AllowHosts are the only hosts metadata documents are accepted from.
	// `.example.com` means all below it. Default: any public host.
	AllowHosts []string `json:"allow_hosts,omitempty"`
	// DenyHosts are never accepted. Default: none.
	DenyHosts []string `json:"deny_hosts,omitempty"`
	// InitialAccessToken is needed to register, as a bearer token. A
	// placeholder, or `sha256:` and the hash in hexadecimal; or `required`, if all are
	// made while the site runs: `caddy mcp-oauth initial-access-tokens create`. Those
	// are good beside the one that is here, too. Default: none is needed.
	InitialAccessToken string `json:"initial_access_token,omitempty"`
	// RateLimit is how many registrations one address may make per minute, and
	// how often people there may sign in without proving who they are; 0 sets
	// no limit. Default: 60.
	RateLimit *int `json:"rate_limit,omitempty"`
	// MaxUnused is how many registrations that nobody approved are kept;
	// 0 sets no bound. Default: 10000.
	MaxUnused *int `json:"max_unused,omitempty"`
	// MaxUnproved is how many registrations are kept, for each address, that
	// only people there approved who signed in in a way that is open to strangers,
	// such as `user_id` or `anonymous`, and how many grants and browser sessions of such people; 0 sets no bound.
	// Default: 1000.
	MaxUnproved *int `json:"max_unproved,omitempty"`
	// UnusedLifetime is how long one is kept that nobody approved. Default: 24h.
	UnusedLifetime Duration `json:"unused_lifetime,omitempty"`
	// RedirectSchemes are private-use redirect schemes, allowed in addition
	// to https, http on loopback and those of the well-known editors. Default: none.
	RedirectSchemes []string `json:"redirect_schemes,omitempty"`

	// TokenHash is, once resolved, the hash of the token that is in InitialAccessToken;
	// nil if there is none.
	TokenHash *storage.Hash `json:"-"`
}

// TokenRequired is the value of InitialAccessToken that stands for no token.
const TokenRequired = "required"

// NeedsToken reports whether to register takes an initial access token.
func (r *Registration) NeedsToken() bool {
	return r.TokenHash != nil || r.InitialAccessToken == TokenRequired
}

// DefaultRegistration returns what is used where the operator says nothing.
func DefaultRegistration() *Registration {
	return &Registration{
		Dynamic:           new(true),
		MetadataDocuments: new(true),
		RateLimit:         new(60),
		MaxUnused:         new(10_000),
		MaxUnproved:       new(1_000),
		UnusedLifetime:    Duration(day),
		RedirectSchemes:   oauth.KnownRedirectSchemes,
	}
}

func resolveRegistration(s *Site, resolve Resolver) error {
	r := DefaultRegistration()
	if s.Registration != nil {
		if err := s.Registration.resolve(r, resolve); err != nil {
			return err
		}
	}
	s.Registration = r
	return nil
}

// resolve changes the defaults to what is configured.
func (r *Registration) resolve(to *Registration, resolve Resolver) error {
	if r.Dynamic != nil {
		to.Dynamic = r.Dynamic
	}
	if r.MetadataDocuments != nil {
		to.MetadataDocuments = r.MetadataDocuments
	}
	for _, step := range []func(*Registration, Resolver) error{r.resolveHosts, r.resolveToken, r.resolveCounts, r.resolveSchemes} {
		if err := step(to, resolve); err != nil {
			return err
		}
	}
	unused := r.UnusedLifetime
	if err := resolveDuration("registration.unused_lifetime", &unused, to.UnusedLifetime, time.Minute, maxLifetime); err != nil {
		return err
	}
	to.UnusedLifetime = unused
	return nil
}

var hostPattern = regexp.MustCompile(`^\.?[a-z0-9-]+(\.[a-z0-9-]+)*$`)

func (r *Registration) resolveHosts(to *Registration, _ Resolver) error {
	for _, l := range []struct {
		field string
		hosts []string
	}{{"allow_hosts", r.AllowHosts}, {"deny_hosts", r.DenyHosts}} {
		for _, host := range l.hosts {
			if !hostPattern.MatchString(host) {
				return Errorf("registration."+l.field, "%q is not a host; write it as example.com, or .example.com for all below it", host)
			}
		}
	}
	for _, host := range r.DenyHosts {
		if slices.Contains(r.AllowHosts, host) {
			return Errorf("registration.deny_hosts", "%s is in allow_hosts, too; remove one", host)
		}
	}
	to.AllowHosts, to.DenyHosts = r.AllowHosts, r.DenyHosts
	return nil
}

func (r *Registration) resolveToken(to *Registration, resolve Resolver) error {
	to.InitialAccessToken = r.InitialAccessToken
	if r.InitialAccessToken == "" || r.InitialAccessToken == TokenRequired {
		return nil
	}
	if !strings.ContainsAny(r.InitialAccessToken, "{:") && spelling.Nearest(r.InitialAccessToken, []string{TokenRequired}) != "" {
		// It is not repeated, in case that it is a secret all the same.
		return Errorf("registration.initial_access_token", "an unknown word; did you mean %s?", TokenRequired)
	}
	hash, err := hashSecret("registration.initial_access_token", "token", r.InitialAccessToken, resolve)
	if err != nil {
		return err
	}
	if to.TokenHash = hash; hash == nil {
		to.TokenHash = new(storage.Hash) // needed, though not known yet
	}
	return nil
}

func (r *Registration) resolveCounts(to *Registration, _ Resolver) error {
	for _, c := range []struct {
		field string
		from  *int
		to    **int
	}{
		{"rate_limit", r.RateLimit, &to.RateLimit}, {"max_unused", r.MaxUnused, &to.MaxUnused},
		{"max_unproved", r.MaxUnproved, &to.MaxUnproved},
	} {
		if c.from == nil {
			continue
		}
		if *c.from < 0 {
			return Errorf("registration."+c.field, "must not be negative")
		}
		*c.to = c.from
	}
	return nil
}

func (r *Registration) resolveSchemes(to *Registration, _ Resolver) error {
	for _, scheme := range r.RedirectSchemes {
		if err := oauth.CheckRedirectScheme(scheme); err != nil {
			return Errorf("registration.redirect_schemes", "%q: %v", scheme, err)
		}
	}
	to.RedirectSchemes = slices.Concat(to.RedirectSchemes, r.RedirectSchemes)
	return nil
}
