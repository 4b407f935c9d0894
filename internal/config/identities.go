package config

import (
	"cmp"
	"maps"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/oidc"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/workload"
)

// Identity is one way for people to say or prove who they are.
type Identity struct {
	// Kind is one of:
	//
	// - `virtual_key`: the person enters a key listed in `virtual_keys`.
	// - `user_id`: the person says who they are and is believed. Only for
	//   setups where nobody has a reason to lie.
	// - `anonymous`: "Skip"; nobody in particular.
	// - `caddy`: the user that another Caddy handler authenticated, see `user`.
	// - `dashboard`: whom a web application of yours vouches for, see `dashboard`.
	// - `oidc`: the person signs in at an OpenID Connect provider, see `oidc`. There
	//   can be several.
	// - `workload`: a program for which another system vouches, see `workload`. There
	//   can be several. It is no way for people, who see nothing of it.
	Kind identity.Kind `json:"kind"`
	// User is the placeholder that names the user, for `caddy`. Only those that
	// no client can write are accepted:
	//
	// - `{http.auth.user.id}` of `basic_auth` and other authentication handlers.
	// - `{http.reverse_proxy.header.Remote-User}`, `{rp.header.Remote-User}` in
	//   a Caddyfile: a header that the server behind `forward_auth` answered
	//   with. It is there for requests that this server let pass, and no other.
	// - `{http.request.tls.client.subject}` and the like: of a certificate that
	//   Caddy has verified.
	// - `{http.vars.…}`: a variable that your configuration sets. Never set it
	//   from a request header.
	//
	// Default: `{http.auth.user.id}`.
	User string `json:"user,omitempty"`
	// Recheck is, for `caddy`, how long what a person approved can be used
	// without them: within that time they must come through the other handler
	// again, by approving the client or visiting the account page. Then clients
	// sign the person in again. Default: 24h.
	Recheck Duration `json:"recheck,omitempty"`
	// Dashboard is, for `dashboard`, at which people sign in. Required for that kind.
	Dashboard *Dashboard `json:"dashboard,omitempty"`
	// OIDC is, for `oidc`, the provider. Required for that kind.
	OIDC *OIDC `json:"oidc,omitempty"`
	// Workload is, for `workload`, whose programs are trusted. Required for that kind.
	Workload *Workload `json:"workload,omitempty"`
}

// kindOptions is what the configuration of one kind of identity can have and needs.
type kindOptions struct {
	// names are those of the options that it alone has, and isSet reports whether an
	// identity has one of them.
	names []string
	isSet func(id *Identity) bool
	// resolve checks them and sets their defaults.
	resolve func(s *Site, path string, id *Identity, resolve Resolver) error
}

// optionsOfKinds has the kinds for which the name is not all there is to configure.
var optionsOfKinds = map[identity.Kind]kindOptions{
	identity.Caddy: {
		names: []string{"user", "recheck"}, isSet: func(id *Identity) bool { return id.User != "" || id.Recheck != 0 },
		resolve: resolveCaddyUser,
	},
	identity.Dashboard: {
		names: []string{"dashboard"}, isSet: func(id *Identity) bool { return id.Dashboard != nil },
		resolve: resolveDashboard,
	},
	oidc.Kind: {
		names: []string{"oidc"}, isSet: func(id *Identity) bool { return id.OIDC != nil },
		resolve: resolveOIDC,
	},
	identity.Workload: {
		names: []string{"workload"}, isSet: func(id *Identity) bool { return id.Workload != nil },
		resolve: resolveWorkload,
	},
}

func resolveIdentities(s *Site, resolve Resolver) error {
	if len(s.Identities) == 0 {
		return Errorf("identities", "nobody could sign in; add identity with one of: %s", strings.Join(IdentityKinds(), ", "))
	}
	s.Identities = slices.Clone(s.Identities)
	for i := range s.Identities {
		id, path := &s.Identities[i], Index("identities", i)
		if !slices.Contains(IdentityKinds(), string(id.Kind)) {
			return Errorf(path+".kind", "unknown identity %q%s", id.Kind, Choice(string(id.Kind), IdentityKinds()))
		}
		if id.Kind != oidc.Kind && id.Kind != identity.Workload && slices.ContainsFunc(s.Identities[:i], func(other Identity) bool { return other.Kind == id.Kind }) {
			return Errorf(path+".kind", "%s is listed twice; remove one", id.Kind)
		}
		if own := optionsOfKinds[id.Kind]; own.resolve != nil {
			if err := own.resolve(s, path, id, resolve); err != nil {
				return err
			}
		}
		if err := checkForeignOptions(path, id); err != nil {
			return err
		}
	}
	return nil
}

// checkForeignOptions refuses the options of other kinds.
func checkForeignOptions(path string, id *Identity) error {
	for _, kind := range slices.Sorted(maps.Keys(optionsOfKinds)) {
		options := optionsOfKinds[kind]
		if kind == id.Kind || options.isSet == nil || !options.isSet(id) {
			continue
		}
		if len(options.names) == 1 {
			return Errorf(path, "%s belongs to identity %s; remove it", options.names[0], kind)
		}
		return Errorf(path, "%s belong to identity %s; remove them", strings.Join(options.names, " and "), kind)
	}
	return nil
}

// IdentityKinds returns the kinds that an identity can have.
func IdentityKinds() []string {
	var names []string
	for _, m := range identity.Builtin(identity.Options{}) {
		names = append(names, string(m.Kind))
	}
	return append(names, string(oidc.Kind), string(identity.Workload))
}

// resolveSignIn makes the ways to sign in of what they are configured with.
func resolveSignIn(s *Site, _ Resolver) error {
	s.SignIn, s.Providers = nil, nil
	for _, id := range s.Identities {
		switch id.Kind {
		case identity.Workload: // below
			continue
		case oidc.Kind:
			o := id.OIDC.options
			o.Needs = s.needsOfServers()
			p := oidc.New(o)
			s.SignIn, s.Providers = append(s.SignIn, p.Method()), append(s.Providers, p)
			continue
		}
		options := identity.Options{Keys: s.Keys, Recheck: time.Duration(id.Recheck)}
		if d := id.Dashboard; d != nil {
			options.Dashboard = identity.AtDashboard{AuthorizeURL: d.AuthorizeURL, Issuer: d.Issuer, Allow: d.Rules, Recheck: time.Duration(d.Recheck)}
		}
		all := identity.Builtin(options)
		s.SignIn = append(s.SignIn, *all.Of(string(id.Kind)))
	}
	for _, t := range s.Workloads() {
		s.SignIn = append(s.SignIn, t.Method())
	}
	if services := s.services(); services != nil {
		s.SignIn = append(s.SignIn, identity.ByClientCredentials(services))
	}
	return nil
}

// Workloads are the trusts of a resolved site, in order.
func (s *Site) Workloads() (all []workload.Trust) {
	for _, id := range s.Identities {
		if id.Kind == identity.Workload {
			t := id.Workload.Trust()
			t.Lifetime = min(t.Lifetime, time.Duration(s.AccessTokenLifetime))
			all = append(all, t)
		}
	}
	return all
}

const (
	// defaultRecheck is how long somebody who was removed elsewhere keeps access.
	defaultRecheck = Duration(day)
	defaultUser    = "http.auth.user.id"
	// proxiedHeader is what comes before the name of a header in the answer of
	// a proxied server. forward_auth goes on to the next handler after such an
	// answer, so here it is the word of the server that authenticates.
	proxiedHeader = "http.reverse_proxy.header."
	// ClientCertificate is what the names of placeholders begin with that
	// describe the certificate of a client.
	ClientCertificate = "http.request.tls.client."
)

// userPlaceholders are how the placeholders begin that no client can write.
var userPlaceholders = []string{"http.auth.user.", proxiedHeader, ClientCertificate, "http.vars."}

// resolveCaddyUser resolves the options of identity caddy.
func resolveCaddyUser(_ *Site, path string, id *Identity, _ Resolver) error {
	if id.Recheck != 0 && time.Duration(id.Recheck) < time.Minute {
		return Errorf(path+".recheck", "must be at least 1m")
	}
	name, ok := placeholderName(id.User)
	unforgeable := func(prefix string) bool { return strings.HasPrefix(name, prefix) && name != prefix }
	if id.User != "" && (!ok || !slices.ContainsFunc(userPlaceholders, unforgeable)) {
		return Errorf(path+".user", "%q could be written by a client, or is no placeholder; use {rp.header.Remote-User} behind forward_auth, "+
			"{http.auth.user.id}, {http.request.tls.client.subject}, or {http.vars.<name>}", id.User)
	}
	id.Recheck = cmp.Or(id.Recheck, defaultRecheck)
	return nil
}

// placeholderName returns the name in a text that is one placeholder.
func placeholderName(text string) (string, bool) {
	inner, opens := strings.CutPrefix(text, "{")
	name, closes := strings.CutSuffix(inner, "}")
	return name, opens && closes && name != "" && !strings.ContainsAny(name, "{}\\:")
}

// UserPlaceholder returns the name of the placeholder with the user whom another
// handler authenticated, or "" if that is no way to sign in.
func (s *Site) UserPlaceholder() string {
	for _, id := range s.Identities {
		if id.Kind != identity.Caddy {
			continue
		}
		name, ok := placeholderName(id.User)
		if !ok {
			return defaultUser
		}
		if header, ok := strings.CutPrefix(name, proxiedHeader); ok {
			return proxiedHeader + textproto.CanonicalMIMEHeaderKey(header) // as reverse_proxy sets it
		}
		return name
	}
	return ""
}
