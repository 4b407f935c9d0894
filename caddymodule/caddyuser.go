package caddymodule

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

const (
	defaultUser = "http.auth.user.id"
	// proxiedHeader is what comes before the name of a header in the answer of
	// a proxied server. forward_auth goes on to the next handler after such an
	// answer, so here it is the word of the server that authenticates.
	proxiedHeader     = "http.reverse_proxy.header."
	clientCertificate = "http.request.tls.client."
)

// userPlaceholders are how the placeholders begin that no client can write.
var userPlaceholders = []string{"http.auth.user.", proxiedHeader, clientCertificate, "http.vars."}

// checkUser checks the options of identity caddy.
func checkUser(path string, id Identity) error {
	if id.Kind != string(identity.Caddy) {
		if id.User != "" || id.Recheck != 0 {
			return wrong(path, "user and recheck belong to identity caddy; remove them")
		}
		return nil
	}
	if id.Recheck != 0 && time.Duration(id.Recheck) < time.Minute {
		return wrong(path+".recheck", "must be at least 1m")
	}
	name, ok := placeholderName(id.User)
	unforgeable := func(prefix string) bool { return strings.HasPrefix(name, prefix) && name != prefix }
	if id.User != "" && (!ok || !slices.ContainsFunc(userPlaceholders, unforgeable)) {
		return wrong(path+".user", "%q could be written by a client, or is no placeholder; use {rp.header.Remote-User} behind forward_auth, "+
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

// userPlaceholder returns the name of the placeholder with the user whom
// another handler authenticated, or "" if that is no way to sign in.
func (h *Handler) userPlaceholder() string {
	for _, id := range h.Identities {
		if id.Kind != string(identity.Caddy) {
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

// withUser hands the pages the user whom another handler authenticated, if
// that is a way to sign in. The placeholder is looked up, never expanded from
// anything in the request.
func (h *Handler) withUser(r *http.Request) *http.Request {
	if h.user == "" {
		return r
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return r
	}
	if strings.HasPrefix(h.user, clientCertificate) && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		return r // Caddy can be told to take certificates that nobody verified
	}
	user, _ := repl.GetString(h.user)
	return r.WithContext(identity.WithUser(r.Context(), user))
}
