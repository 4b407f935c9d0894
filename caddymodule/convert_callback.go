package caddymodule

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
)

// checkCallbackPath keeps answers of providers away from other endpoints, and
// from the path that is another server's own.
func (h *Handler) checkCallbackPath(field, server, path string) error {
	own, below := strings.CutPrefix(path, accounts.SharedCallbackPath+"/")
	switch {
	case path == "" || path == accounts.SharedCallbackPath:
		return nil
	case below && own != server && slices.ContainsFunc(h.Servers, func(s Server) bool { return s.ID == own }):
		return wrong(field, "%s is that of server %s; use %s", path, own, accounts.CallbackPath(server))
	case below:
		return nil
	case !pathPattern.MatchString(strings.TrimSuffix(path, "/")) || slices.ContainsFunc(strings.Split(path, "/"), dots):
		return wrong(field, "%q is not a path; write it as /api/oauth/callback", path)
	case reserved(path):
		return wrong(field, "%s is needed by the authorization server; choose another", path)
	}
	for _, s := range h.Servers {
		if slices.Contains(spellings(s.Path), path) {
			return wrong(field, "%s is that of server %s; choose another", path, s.ID)
		}
	}
	return nil
}

// checkSharedCallbacks refuses one callback path for different providers. Not
// every provider says with iss that an answer is its own; without that, one of
// them could have a browser bring it the code of another, which only the path
// tells apart (RFC 9700 section 4.4).
func (h *Handler) checkSharedCallbacks(cfg accounts.Config) error {
	for i, s := range cfg.Servers {
		if s.Mode == accounts.PerUserHeaders {
			continue
		}
		for _, other := range cfg.Servers[:i] {
			if other.Mode == accounts.PerUserHeaders || other.RedirectPath() != s.RedirectPath() || maybeOneProvider(other, s) {
				continue
			}
			return wrong(h.pathOf(s.ID)+".auth.callback_path", "another provider, that of server %s, answers at %s too; set callback_path %s and register that, "+
				"or the same issuer for both if they have one provider", other.ID, s.RedirectPath(), accounts.CallbackPath(s.ID))
		}
	}
	return nil
}

// pathOf returns the path of a server in the configuration.
func (h *Handler) pathOf(server string) string {
	return index("servers", slices.IndexFunc(h.Servers, func(s Server) bool { return s.ID == server }))
}

// maybeOneProvider reports whether two servers have the same provider by their
// configuration. Where that has a placeholder which is not known yet, they may.
func maybeOneProvider(a, b accounts.Server) bool {
	one, two := providerOf(a), providerOf(b)
	return one == two && one != "" || one != "" && two != "" && strings.Contains(one+two, "{")
}

// providerOf returns what the configuration calls a provider; "" if it is found
// through the server, which can name another one at any time.
func providerOf(s accounts.Server) string {
	if s.Issuer != "" || s.TokenEndpoint == "" {
		return s.Issuer
	}
	return s.AuthorizationEndpoint + " " + s.TokenEndpoint
}
