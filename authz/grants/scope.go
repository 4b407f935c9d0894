package grants

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// ResolveScope returns what a request for scope at the servers asks for: the
// scopes it names that exist there or, when it names none of them, those that
// every call needs. An authorization server may ignore what was requested, and
// tells what it granted (RFC 6749 section 3.3): several clients always ask for
// scopes of OpenID Connect, or of their own, and could not sign in otherwise.
func ResolveScope(requested string, servers []*config.Server) ([]string, error) {
	scope, err := oauth.ParseScope(requested)
	if err != nil {
		return nil, err
	}
	if scope = LimitScope(scope, servers); len(scope) > 0 {
		return scope, nil
	}
	return requiredScope(servers), nil
}

// requiredScope returns the scopes that calls of the servers need.
func requiredScope(servers []*config.Server) []string {
	var scope []string
	for _, s := range servers {
		for _, token := range s.Scopes {
			if !slices.Contains(scope, token) {
				scope = append(scope, token)
			}
		}
	}
	return scope
}

// LimitScope returns the part of scope that means something to the servers.
func LimitScope(scope []string, servers []*config.Server) []string {
	var limited []string
	for _, token := range scope {
		if slices.ContainsFunc(servers, func(s *config.Server) bool { return s.HasScope(token) }) {
			limited = append(limited, token)
		}
	}
	return limited
}

// OptionalScope returns the part of a requested scope that a person can leave
// out: what some of the servers know and do not need for every call. What
// connecting gives is none of it, see ConnectedScope.
func OptionalScope(requested []string, servers []*config.Server) []string {
	var optional []string
	for _, token := range requested {
		if !isConnectScope(token) && slices.ContainsFunc(servers, func(s *config.Server) bool { return slices.Contains(s.OptionalScopes, token) }) {
			optional = append(optional, token)
		}
	}
	return optional
}

// ChosenScope returns what of a requested scope is granted at the servers that a
// person chose: what their calls need, and of the rest what the person ticked. The
// connections decide about what connecting gives.
func ChosenScope(requested, ticked []string, chosen []*config.Server) []string {
	return slices.DeleteFunc(LimitScope(requested, chosen), func(token string) bool {
		return !isConnectScope(token) && !slices.Contains(ticked, token) &&
			!slices.ContainsFunc(chosen, func(s *config.Server) bool { return slices.Contains(s.Scopes, token) })
	})
}

func isConnectScope(token string) bool { return strings.HasPrefix(token, oauth.ConnectScope("")) }

// WithoutConnecting returns scope without what connecting gives: nobody is asked to
// connect anything for it.
func WithoutConnecting(scope []string) []string {
	return slices.DeleteFunc(slices.Clone(scope), isConnectScope)
}

// ConnectedScope returns scope with the ConnectScope of exactly the servers
// that the person has connected. It leaves no scope empty.
func ConnectedScope(scope []string, servers []*config.Server, connected []string) []string {
	granted := slices.Clone(scope)
	for _, s := range servers {
		token := oauth.ConnectScope(s.ID)
		if !s.HasScope(token) {
			continue
		}
		granted = slices.DeleteFunc(granted, func(t string) bool { return t == token })
		if slices.Contains(connected, s.ID) {
			granted = append(granted, token)
		}
	}
	if len(granted) == 0 {
		return scope
	}
	return granted
}

// NarrowScope returns what a refresh gets: of the scopes it asks for those that
// were granted, or all that were, if it asks for none that means anything to
// the servers. It can ask for less than was granted, never get more (RFC 6749
// section 6). Clients repeat the scope of their authorization request, of which
// the grant may be a part (see resolveScope), and sign the person out if that
// is refused. Only a request for nothing but what was not granted is.
func NarrowScope(requested string, granted []string, servers []*config.Server) ([]string, error) {
	scope, err := oauth.ParseScope(requested)
	if err != nil {
		return nil, err
	}
	if scope = LimitScope(scope, servers); len(scope) == 0 || len(granted) == 0 {
		return granted, nil
	}
	narrowed := slices.DeleteFunc(scope, func(token string) bool { return !slices.Contains(granted, token) })
	if len(narrowed) == 0 {
		return nil, oauth.NewError("invalid_scope", "The scope exceeds what was granted.")
	}
	return narrowed, nil
}
