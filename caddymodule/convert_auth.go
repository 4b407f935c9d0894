package caddymodule

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	connections "github.com/mcpoauth/caddy-mcp-oauth/authz/upstream"
)

// reservedParams are what an authorization request says already, or what would
// lead the answer elsewhere.
var reservedParams = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method",
	"scope", "resource", "request", "request_uri",
}

var authMethods = []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}

// connects reports whether somebody's account has to be connected for calls to
// this server.
func (s *Server) connects() bool { return s.Auth != nil }

// upstreamConfig returns what the connections of the site are made with.
func (h *Handler) upstreamConfig(issuer string, resolve resolver) (connections.Config, error) {
	cfg := connections.Config{Issuer: issuer, ClientName: h.brand().Name}
	for _, s := range h.Servers {
		if !s.connects() {
			continue
		}
		converted, err := h.convertAuth(s, resolve)
		if err != nil {
			return connections.Config{}, err
		}
		cfg.Servers = append(cfg.Servers, converted)
	}
	return cfg, checkSharedCallbacks(cfg)
}

func (h *Handler) checkAuth(cfg *authz.Config, resolve resolver) error {
	_, err := h.upstreamConfig(cfg.Issuer, resolve)
	return err
}

// convertAuth checks how one server is connected.
func (h *Handler) convertAuth(s Server, resolve resolver) (connections.Server, error) {
	option, a := "server "+s.ID+" auth", s.Auth
	out := connections.Server{
		ID: s.ID, Title: cmp.Or(s.Title, s.ID), URL: s.Upstream, Mode: connections.Mode(a.Mode), Required: !a.Optional,
		Resource: a.Resource, Scopes: a.Scopes, Issuer: a.Issuer,
		AuthorizationEndpoint: a.AuthorizationEndpoint, TokenEndpoint: a.TokenEndpoint, RevocationEndpoint: a.RevocationEndpoint,
		Quirks: connections.Quirks{
			NoResource: a.NoResource, AllowMissingPKCE: a.AllowMissingPKCE, AuthMethod: a.AuthMethod,
			ScopeSeparator: a.ScopeSeparator, AuthorizeParams: a.AuthorizeParams,
		},
		VerifyURL: a.VerifyURL,
	}
	var err error
	if out.URL, _, err = resolve(s.Upstream); err != nil {
		return out, wrong(option, "%v", err)
	}
	for _, address := range []struct {
		name string
		url  *string
	}{
		{"resource", &out.Resource}, {"issuer", &out.Issuer}, {"authorization_endpoint", &out.AuthorizationEndpoint},
		{"token_endpoint", &out.TokenEndpoint}, {"revocation_endpoint", &out.RevocationEndpoint}, {"verify_url", &out.VerifyURL},
	} {
		text, known, err := resolve(*address.url)
		if err != nil {
			return out, wrong(option+" "+address.name, "%v", err)
		}
		if known && text != "" && !isSecureURL(text) {
			return out, wrong(option+" "+address.name, "%q is not an https URL; http is for loopback only", text)
		}
		*address.url = text
	}
	switch out.Mode {
	case connections.OAuth, connections.PerUserOAuth:
		err = h.convertOAuth(option, a, &out, resolve)
	case connections.PerUserHeaders:
		err = convertPasted(option, a, &out)
	default:
		err = wrong(option, "unknown upstream auth %q; use one of: none, headers, oauth, per_user_oauth, per_user_headers", a.Mode)
	}
	if err != nil {
		return out, err
	}
	return out, checkTakenHeaders(option, s, out)
}

func (h *Handler) convertOAuth(option string, a *Auth, out *connections.Server, resolve resolver) error {
	if len(a.Headers) > 0 || a.VerifyURL != "" {
		return wrong(option, "header and verify_url belong to auth per_user_headers; remove them")
	}
	for _, scope := range a.Scopes {
		if !validScope(scope) {
			return wrong(option+" scopes", "%q is not a scope; use printable ASCII without space, quote and backslash", scope)
		}
	}
	if (a.AuthorizationEndpoint == "") != (a.TokenEndpoint == "") {
		return wrong(option, "authorization_endpoint and token_endpoint belong together; set both, or none to have them discovered")
	}
	if a.RevocationEndpoint != "" && a.TokenEndpoint == "" {
		return wrong(option+" revocation_endpoint", "it is discovered, unless authorization_endpoint and token_endpoint are set")
	}
	if a.TokenEndpoint != "" && a.ClientID == "" {
		return wrong(option, "a provider without discovery needs a client_id; register this site there")
	}
	if a.AuthMethod != "" && !slices.Contains(authMethods, a.AuthMethod) {
		return wrong(option+" auth_method", "unknown method %q; use one of: %s", a.AuthMethod, strings.Join(authMethods, ", "))
	}
	if a.ScopeSeparator != "" && strings.Trim(a.ScopeSeparator, " ,;+|") != "" {
		return wrong(option+" scope_separator", "%q could be part of a scope; use a comma or a space", a.ScopeSeparator)
	}
	for name := range a.AuthorizeParams {
		if name == "" || slices.Contains(reservedParams, strings.ToLower(name)) {
			return wrong(option+" authorize_param", "%q belongs to the protocol; remove it", name)
		}
	}
	return h.convertOAuthClient(option, a, out, resolve)
}

func (h *Handler) convertOAuthClient(option string, a *Auth, out *connections.Server, resolve resolver) error {
	if a.ClientID == "" {
		if a.ClientSecret != "" || a.CallbackPath != "" {
			return wrong(option, "client_secret and callback_path belong to a client_id; set it too")
		}
		return nil
	}
	out.Client = &connections.Client{CallbackPath: a.CallbackPath}
	for _, v := range []struct {
		name, value string
		to          *string
	}{{"client_id", a.ClientID, &out.Client.ID}, {"client_secret", a.ClientSecret, &out.Client.Secret}} {
		text, known, err := resolve(v.value)
		if err != nil {
			return wrong(option+" "+v.name, "%v", err)
		}
		if known && v.value != "" && text == "" {
			return wrong(option+" "+v.name, "the placeholder is empty")
		}
		*v.to = text
	}
	secret := a.AuthMethod == "client_secret_basic" || a.AuthMethod == "client_secret_post"
	if secret && a.ClientSecret == "" {
		return wrong(option+" auth_method", "%s needs a client_secret", a.AuthMethod)
	}
	if a.AuthMethod != "" && !secret && a.ClientSecret != "" {
		return wrong(option+" auth_method", "%s uses no client_secret; remove one", a.AuthMethod)
	}
	return h.checkCallbackPath(option, out.ID, a.CallbackPath)
}

func convertPasted(option string, a *Auth, out *connections.Server) error {
	if len(a.Scopes) > 0 || a.ClientID != "" || a.ClientSecret != "" || a.AuthMethod != "" || a.CallbackPath != "" ||
		a.AuthorizationEndpoint != "" || a.TokenEndpoint != "" || a.RevocationEndpoint != "" || a.Issuer != "" || a.Resource != "" ||
		a.NoResource || a.AllowMissingPKCE || len(a.AuthorizeParams) > 0 || a.ScopeSeparator != "" {
		return wrong(option, "auth per_user_headers takes header, verify_url, required and optional only; the rest is for OAuth")
	}
	headers := a.Headers
	if len(headers) == 0 {
		headers = []AuthHeader{{Name: "Authorization", Prefix: "Bearer ", Label: "API key"}}
	}
	for _, header := range headers {
		if err := checkUpstreamHeader(option+" header", header.Name); err != nil {
			return err
		}
		canonical := http.CanonicalHeaderKey(header.Name)
		if !httpguts.ValidHeaderFieldValue(header.Prefix) {
			return wrong(option+" header", "%s: the prefix has characters a header cannot have", canonical)
		}
		if slices.ContainsFunc(out.Headers, func(other connections.Header) bool { return foldName(other.Name) == foldName(canonical) }) {
			return wrong(option+" header", "%s is listed twice; remove one", canonical)
		}
		out.Headers = append(out.Headers, connections.Header{Name: canonical, Prefix: header.Prefix, Label: cmp.Or(header.Label, canonical)})
	}
	return nil
}

// credentialHeaders are the headers that carry the credential.
func credentialHeaders(s connections.Server) []string {
	if s.Mode != connections.PerUserHeaders {
		return []string{"Authorization"}
	}
	names := make([]string, len(s.Headers))
	for i, h := range s.Headers {
		names[i] = h.Name
	}
	return names
}

// checkTakenHeaders refuses headers that would replace the credential.
func checkTakenHeaders(option string, s Server, out connections.Server) error {
	for _, credential := range credentialHeaders(out) {
		for name := range s.Headers {
			if foldName(name) == foldName(credential) {
				return wrong(option, "the header %s carries the connected account; remove it from headers", credential)
			}
		}
		for name := range s.IdentityHeaders {
			if foldName(name) == foldName(credential) {
				return wrong(option, "the header %s carries the connected account; remove the identity_header", credential)
			}
		}
	}
	return nil
}

// isSecureURL reports whether a URL may be sent credentials, or people.
func isSecureURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(text, "#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopbackHost(strings.ToLower(u.Hostname()))
}
