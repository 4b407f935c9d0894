package config

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// Lifetimes are those of what the authorization server issues.
type Lifetimes struct {
	// AccessTokenLifetime is how long an access token lives that can be
	// refreshed. Default: 1h.
	AccessTokenLifetime Duration `json:"access_token_lifetime,omitempty"`
	// RefreshTokenLifetime is how long a refresh token lives unused. Default: 30d.
	RefreshTokenLifetime Duration `json:"refresh_token_lifetime,omitempty"`
	// GrantLifetime ends a grant without refresh token, and with it its one
	// access token: that of a client which registered without the grant type
	// refresh_token. Default: 24h.
	GrantLifetime Duration `json:"grant_lifetime,omitempty"`
	// AbsoluteGrantLifetime ends any other grant, however active. Default: 90d.
	AbsoluteGrantLifetime Duration `json:"absolute_grant_lifetime,omitempty"`
	// FlowLifetime is how long a person may take to sign in. Default: 15m.
	FlowLifetime Duration `json:"flow_lifetime,omitempty"`
	// CodeLifetime is how long a client may take to fetch its tokens. Default: 5m.
	CodeLifetime Duration `json:"code_lifetime,omitempty"`
	// RefreshReuseGrace is how long a client that lost the response to a
	// refresh can ask again and get the same one; 0 takes any repetition for
	// theft. Default: 1m.
	RefreshReuseGrace *Duration `json:"refresh_reuse_grace,omitempty"`
}

const day = 24 * time.Hour

// DefaultLifetimes are used where the operator says nothing. The reuse grace
// outlasts the timeout of a client that tries again.
var DefaultLifetimes = Lifetimes{
	AccessTokenLifetime:   Duration(time.Hour),
	RefreshTokenLifetime:  Duration(30 * day),
	GrantLifetime:         Duration(day),
	AbsoluteGrantLifetime: Duration(90 * day),
	FlowLifetime:          Duration(15 * time.Minute),
	CodeLifetime:          Duration(5 * time.Minute),
	RefreshReuseGrace:     new(Duration(time.Minute)),
}

// maxLifetime bounds what is certainly a slip: with it, times stay within what
// all stores and clients can write.
const maxLifetime = 10 * 365 * day

func resolveLifetimes(s *Site, _ Resolver) error {
	l, defaults := &s.Lifetimes, &DefaultLifetimes
	configured := *l
	for _, f := range []struct {
		path         string
		value        *Duration
		defaultValue Duration
		most         time.Duration
	}{
		{"access_token_lifetime", &l.AccessTokenLifetime, defaults.AccessTokenLifetime, maxLifetime},
		{"refresh_token_lifetime", &l.RefreshTokenLifetime, defaults.RefreshTokenLifetime, maxLifetime},
		{"grant_lifetime", &l.GrantLifetime, defaults.GrantLifetime, maxLifetime},
		{"absolute_grant_lifetime", &l.AbsoluteGrantLifetime, defaults.AbsoluteGrantLifetime, maxLifetime},
		{"flow_lifetime", &l.FlowLifetime, defaults.FlowLifetime, day},
		{"code_lifetime", &l.CodeLifetime, defaults.CodeLifetime, time.Hour},
	} {
		if err := resolveDuration(f.path, f.value, f.defaultValue, time.Second, f.most); err != nil {
			return err
		}
	}
	if err := checkRefreshLifetime(configured, *l); err != nil {
		return err
	}
	if l.RefreshReuseGrace == nil {
		l.RefreshReuseGrace = defaults.RefreshReuseGrace
	}
	if grace := time.Duration(*l.RefreshReuseGrace); grace < 0 || grace > time.Hour {
		return Errorf("refresh_reuse_grace", "must be between 0 and 1h")
	}
	return nil
}

// resolveDuration checks a duration that cannot be zero, and fills it in.
func resolveDuration(path string, value *Duration, defaultValue Duration, least, most time.Duration) error {
	switch d := time.Duration(*value); {
	case d == 0:
		*value = defaultValue
	case d < least:
		return Errorf(path, "%s", TooShort(least))
	case d > most:
		return Errorf(path, "must be at most %s", days(most))
	}
	return nil
}

// checkRefreshLifetime refuses a refresh token that is of no use, because it
// ends before the access token that it is to renew.
func checkRefreshLifetime(configured, resolved Lifetimes) error {
	if resolved.RefreshTokenLifetime >= resolved.AccessTokenLifetime {
		return nil
	}
	if configured.RefreshTokenLifetime != 0 {
		return Errorf("refresh_token_lifetime", "must not be shorter than access_token_lifetime, which is %s", days(time.Duration(resolved.AccessTokenLifetime)))
	}
	return Errorf("access_token_lifetime", "must not be longer than refresh_token_lifetime, which is %s", days(time.Duration(resolved.RefreshTokenLifetime)))
}

// Signing is how this site signs what others verify: access tokens in the format
// `jwt`, and what `identity_jwt` says. The keys are made by the site, kept
// encrypted in its store, and published at `/.well-known/jwks.json`.
type Signing struct {
	// Algorithm is one of `EdDSA` (Ed25519), `ES256` and `RS256`. Take one that all
	// who verify know; a new one takes effect at once. Default: `EdDSA`.
	Algorithm string `json:"algorithm,omitempty"`
	// Rotate is how long a key signs before the next one takes over. The next one is
	// published a day before, the former one as long as anything that it signed is
	// good. Default: 90d.
	Rotate Duration `json:"rotate,omitempty"`
}

// Formats of access tokens.
const (
	OpaqueTokens = "opaque"
	JWTTokens    = "jwt"
)

var (
	tokenFormats      = []string{OpaqueTokens, JWTTokens}
	signingAlgorithms = []string{"EdDSA", "ES256", "RS256"}
)

const defaultRotate = Duration(90 * day)

// ownClaims are those that the site alone puts into an access token, and those
// that say how a token can be used.
var ownClaims = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "act", "may_act", "cnf", "hasgroups",
	"azp", "nonce", "at_hash", "c_hash", "s_hash", "sid", "events", "authorization_details",
}

// Signs reports whether the site signs anything.
func (s *Site) Signs() bool {
	return s.AccessTokenFormat == JWTTokens || slices.ContainsFunc(s.Servers, func(server *Server) bool { return server.IdentityJWT != "" })
}

// resolveSigning settles what is signed, and how.
func resolveSigning(s *Site, _ Resolver) error {
	s.AccessTokenFormat = cmp.Or(s.AccessTokenFormat, OpaqueTokens)
	if !slices.Contains(tokenFormats, s.AccessTokenFormat) {
		return Errorf("access_token_format", "unknown format %q%s", s.AccessTokenFormat, Choice(s.AccessTokenFormat, tokenFormats))
	}
	if err := checkTokenClaims(s); err != nil {
		return err
	}
	var signing Signing
	if s.Signing != nil {
		signing = *s.Signing
	}
	s.Signing = &signing
	signing.Algorithm = cmp.Or(signing.Algorithm, signingAlgorithms[0])
	if !slices.Contains(signingAlgorithms, signing.Algorithm) {
		return Errorf("signing.algorithm", "unknown algorithm %q%s", signing.Algorithm, Choice(signing.Algorithm, signingAlgorithms))
	}
	return resolveDuration("signing.rotate", &signing.Rotate, defaultRotate, day, maxLifetime)
}

func checkTokenClaims(s *Site) error {
	if len(s.AccessTokenClaims) > 0 && s.AccessTokenFormat != JWTTokens {
		return Errorf("access_token_claims", "only access tokens that are JWTs have claims; add `access_token_format jwt`, or remove it")
	}
	for i, name := range s.AccessTokenClaims {
		switch path := Index("access_token_claims", i); {
		case name == "" || len(name) > 64:
			return Errorf(path, "%q is not the name of a claim; write one such as email or groups", name)
		case slices.Contains(ownClaims, name):
			return Errorf(path, "the claim %s is the site's own; remove it", name)
		case slices.Contains(s.AccessTokenClaims[:i], name):
			return Errorf(path, "%s is listed twice; remove one", name)
		}
	}
	return nil
}

// Scope describes a scope for people.
type Scope struct {
	// Name is the scope, which a server has to have.
	Name string `json:"name"`
	// Description is what the consent page says that it allows.
	Description string `json:"description"`
}

func checkScopes(s *Site, _ Resolver) error {
	described := make(map[string]bool, len(s.Scopes))
	used := usedScopes(s)
	for i, scope := range s.Scopes {
		path := Index("scopes", i) + ".name"
		if err := checkScope(path, scope.Name); err != nil {
			return err
		}
		if described[scope.Name] {
			return Errorf(path, "%s is described twice; remove one", scope.Name)
		}
		if !slices.Contains(used, scope.Name) {
			return Errorf(path, "no server has the scope %s%s", scope.Name, Choice(scope.Name, used))
		}
		described[scope.Name] = true
	}
	return nil
}

// usedScopes returns the scopes that people can be asked for.
func usedScopes(s *Site) []string {
	var all []string
	for _, server := range s.Servers {
		all = append(all, server.Scopes...)
		all = append(all, server.OptionalScopes...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// DescribeScope returns what people are told about a scope, or "".
func (s *Site) DescribeScope(name string) string {
	for _, scope := range s.Scopes {
		if scope.Name == name {
			return scope.Description
		}
	}
	return ""
}

// checkScope refuses what is no scope-token (RFC 6749 section 3.3), and a
// comma: it could be in one, but stands for a list that nobody would get.
func checkScope(path, scope string) error {
	if strings.Contains(scope, ",") {
		return Errorf(path, "%q has a comma; write each scope by itself, with a space between", scope)
	}
	if !oauth.ValidScopeToken(scope) {
		return Errorf(path, "%q is not a scope; use printable ASCII without space, quote and backslash", scope)
	}
	return nil
}
