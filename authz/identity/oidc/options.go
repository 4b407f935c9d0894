package oidc

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

// Kind is how the kinds of all providers begin: a colon and the name follow.
const Kind identity.Kind = "oidc"

// EmailPolicy says which e-mail addresses are kept.
type EmailPolicy string

// The policies. By default none are.
const (
	// VerifiedEmail: those of which the provider says that they are verified.
	VerifiedEmail EmailPolicy = "verified"
	// TrustedEmail: also those of which it does not say so. It is for providers
	// that never do, and in which only administrators set addresses.
	TrustedEmail EmailPolicy = "trusted"
)

// DefaultGroupsClaim is where groups are, unless configured.
const DefaultGroupsClaim = "groups"

// Options are what an operator decides about a provider.
type Options struct {
	// Name tells it from others, in the kind of its identities.
	Name string
	// Title is what people call it.
	Title  string
	Issuer string

	ClientID, ClientSecret string
	// AuthMethod is how we authenticate at its token endpoint. Default: what it
	// supports.
	AuthMethod string
	// Scopes to ask for. Default: what is needed.
	Scopes          []string
	AuthorizeParams map[string]string

	// Allow chooses who may sign in; nil: everybody whom the provider lets in.
	Allow *identity.Rules
	// Needs are what the rules of MCP servers need to know of people: it is kept, too.
	Needs identity.Needs
	// GroupsClaim is where the groups of a person are.
	GroupsClaim string
	Email       EmailPolicy
	// Claims are kept besides groups, names and e-mail addresses.
	Claims []string

	// MaxAge is how long ago a person may have proved to the provider who they are;
	// 0 sets no bound.
	MaxAge time.Duration
	// ACRValues are the ways of proving that, one of which it must have been; none:
	// any.
	ACRValues []string
	// Prompt is what the provider is to ask people.
	Prompt string
	// Recheck is how often the provider is asked again about a person.
	Recheck time.Duration
	// Userinfo says whether the UserInfo endpoint is asked. Default: if the ID token
	// does not have what is needed.
	Userinfo *bool
}

// host returns the host of the issuer, as people see it.
func (o *Options) host() string {
	u, err := url.Parse(o.Issuer)
	if err != nil {
		return o.Name
	}
	return u.Host
}

// publicHosts are those of providers where anybody can have an account.
var publicHosts = []string{
	"accounts.google.com", "appleid.apple.com", "gitlab.com", "slack.com", "www.linkedin.com", "www.facebook.com", "limited.facebook.com",
	"id.twitch.tv", "login.yahoo.com", "api.login.yahoo.com", "access.line.me", "www.paypal.com", "www.amazon.com", "oauth.telegram.org",
}

// consumers is the tenant of Microsoft's private accounts.
const consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"

// IsPublic reports whether anybody can have an account at the provider, as far as
// is known.
func (o *Options) IsPublic() bool {
	host := strings.ToLower(o.host())
	for _, public := range publicHosts {
		if host == public {
			return true
		}
	}
	return strings.Contains(strings.ToLower(o.Issuer), consumers)
}

// needsEmail reports whether addresses are to be kept.
func (o *Options) needsEmail() bool {
	return o.Email != "" || o.Needs.Email || o.Allow.Needs().Email
}

// needsGroups reports whether a rule is about groups, or the operator said where
// they are.
func (o *Options) needsGroups() bool {
	return o.GroupsClaim != DefaultGroupsClaim || o.Needs.Groups || o.Allow.Needs().Groups
}

// keptClaims returns the names of the claims to keep.
func (o *Options) keptClaims() []string {
	return slices.Concat(o.Claims, o.Needs.Claims, o.Allow.Needs().Claims)
}
