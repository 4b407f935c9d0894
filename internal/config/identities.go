package config

import (
	"cmp"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
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
}

// defaultRecheck is how long somebody who was removed elsewhere keeps access.
const defaultRecheck = Duration(day)

func resolveIdentities(s *Site, _ Resolver) error {
	if len(s.Identities) == 0 {
		return Errorf("identities", "nobody could sign in; add identity with one of: %s", strings.Join(kindNames(), ", "))
	}
	s.Identities = slices.Clone(s.Identities)
	for i := range s.Identities {
		id, path := &s.Identities[i], Index("identities", i)
		if identity.Builtin(identity.Options{}).Of(string(id.Kind)) == nil {
			return Errorf(path+".kind", "unknown identity %q%s", id.Kind, Choice(string(id.Kind), kindNames()))
		}
		if slices.ContainsFunc(s.Identities[:i], func(other Identity) bool { return other.Kind == id.Kind }) {
			return Errorf(path+".kind", "%s is listed twice; remove one", id.Kind)
		}
		if id.Kind == identity.VirtualKey && len(s.VirtualKeys) == 0 {
			return Errorf(path+".kind", "nobody has a virtual_key to sign in with; add one, such as `virtual_key alice {env.ALICE_KEY}`")
		}
		if err := checkUser(path, id); err != nil {
			return err
		}
		if id.Kind == identity.Caddy {
			id.Recheck = cmp.Or(id.Recheck, defaultRecheck)
		}
	}
	return nil
}

func kindNames() []string {
	var names []string
	for _, m := range identity.Builtin(identity.Options{}) {
		names = append(names, string(m.Kind))
	}
	return names
}

// resolveSignIn makes the ways to sign in of what they are configured with.
func resolveSignIn(s *Site, _ Resolver) error {
	s.SignIn = nil
	for _, id := range s.Identities {
		all := identity.Builtin(identity.Options{Keys: s.Keys, Recheck: time.Duration(id.Recheck)})
		s.SignIn = append(s.SignIn, *all.Of(string(id.Kind)))
	}
	return nil
}

const (
	defaultUser = "http.auth.user.id"
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

// checkUser checks the options of identity caddy.
func checkUser(path string, id *Identity) error {
	if id.Kind != identity.Caddy {
		if id.User != "" || id.Recheck != 0 {
			return Errorf(path, "user and recheck belong to identity caddy; remove them")
		}
		return nil
	}
	if id.Recheck != 0 && time.Duration(id.Recheck) < time.Minute {
		return Errorf(path+".recheck", "must be at least 1m")
	}
	name, ok := placeholderName(id.User)
	unforgeable := func(prefix string) bool { return strings.HasPrefix(name, prefix) && name != prefix }
	if id.User != "" && (!ok || !slices.ContainsFunc(userPlaceholders, unforgeable)) {
		return Errorf(path+".user", "%q could be written by a client, or is no placeholder; use {rp.header.Remote-User} behind forward_auth, "+
			"{http.auth.user.id}, {http.request.tls.client.subject}, or {http.vars.<name>}", id.User)
	}
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
