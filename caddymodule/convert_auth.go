package caddymodule

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
)

// reservedParams are what an authorization request says already, or what would
// lead the answer elsewhere.
var reservedParams = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method",
	"scope", "resource", "request", "request_uri",
}

var authModes = []string{string(accounts.OAuth), string(accounts.PerUserOAuth), string(accounts.PerUserHeaders)}

var authMethods = []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}

// connects reports whether somebody's account has to be connected for calls to
// this server.
func (s *Server) connects() bool { return s.Auth != nil }

// upstreamConfig returns what the connections of the site are made with.
func (h *Handler) upstreamConfig(issuer string, resolve resolver) (accounts.Config, error) {
	cfg := accounts.Config{Issuer: issuer, ClientName: h.brand().Name}
	for i, s := range h.Servers {
		if !s.connects() {
			continue
		}
		converted, err := h.convertAuth(index("servers", i)+".auth", s, resolve)
		if err != nil {
			return accounts.Config{}, err
		}
		cfg.Servers = append(cfg.Servers, converted)
	}
	return cfg, h.checkSharedCallbacks(cfg)
}

func (h *Handler) checkAuth(cfg *authz.Config, resolve resolver) error {
	_, err := h.upstreamConfig(cfg.Issuer, resolve)
	return err
}

// convertAuth checks how one server is connected.
func (h *Handler) convertAuth(path string, s Server, resolve resolver) (accounts.Server, error) {
	a := s.Auth
	out := accounts.Server{
		ID: s.ID, Title: cmp.Or(s.Title, s.ID), URL: s.Upstream, Mode: accounts.Mode(a.Mode), Required: !a.Optional,
		Resource: a.Resource, Scopes: a.Scopes, Issuer: a.Issuer,
		AuthorizationEndpoint: a.AuthorizationEndpoint, TokenEndpoint: a.TokenEndpoint, RevocationEndpoint: a.RevocationEndpoint,
		Quirks: accounts.Quirks{
			NoResource: a.NoResource, NoRefreshRotation: a.NoRefreshRotation, MetadataDocument: a.MetadataDocument, AllowMissingPKCE: a.AllowMissingPKCE, AuthMethod: a.AuthMethod,
			ScopeSeparator: a.ScopeSeparator, AuthorizeParams: a.AuthorizeParams,
		},
		VerifyURL: a.VerifyURL,
	}
	var err error
	if out.URL, _, err = resolve(s.Upstream); err != nil {
		return out, wrong(strings.TrimSuffix(path, "auth")+"upstream", "%v", err)
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
			return out, wrong(path+"."+address.name, "%v", err)
		}
		if known && *address.url != "" && !isSecureURL(text) {
			return out, wrong(path+"."+address.name, "%q is not an https URL; http is for loopback only", text)
		}
		*address.url = text
	}
	switch out.Mode {
	case accounts.OAuth, accounts.PerUserOAuth:
		err = h.convertOAuth(path, a, &out, resolve)
	case accounts.PerUserHeaders:
		err = convertPasted(path, a, &out)
	default:
		err = wrong(path+".mode", "unknown mode %q%s", a.Mode, choice(a.Mode, authModes))
	}
	if err != nil {
		return out, err
	}
	return out, checkTakenHeaders(path, s, out)
}

func (h *Handler) convertOAuth(path string, a *Auth, out *accounts.Server, resolve resolver) error {
	if field := firstSet(map[string]bool{"headers": len(a.Headers) > 0, "verify_url": a.VerifyURL != ""}); field != "" {
		return wrong(path+"."+field, "is for auth per_user_headers only; remove it")
	}
	for _, scope := range a.Scopes {
		if strings.Contains(scope, ",") {
			return wrong(path+".scopes", "%q has a comma; write each scope by itself, with a space between; where the provider wants commas, add `scope_separator ,`", scope)
		}
		if err := checkScope(path+".scopes", scope); err != nil {
			return err
		}
	}
	if err := checkEndpoints(path, a); err != nil {
		return err
	}
	if a.AuthMethod != "" && !slices.Contains(authMethods, a.AuthMethod) {
		return wrong(path+".auth_method", "unknown method %q%s", a.AuthMethod, choice(a.AuthMethod, authMethods))
	}
	if a.ScopeSeparator != "" && strings.Trim(a.ScopeSeparator, " ,;+|") != "" {
		return wrong(path+".scope_separator", "%q could be part of a scope; use a comma or a space", a.ScopeSeparator)
	}
	for _, name := range slices.Sorted(maps.Keys(a.AuthorizeParams)) {
		if name == "" || slices.Contains(reservedParams, strings.ToLower(name)) {
			return wrong(path+".authorize_params."+name, "%q belongs to the protocol; remove it", name)
		}
	}
	return h.convertOAuthClient(path, a, out, resolve)
}

// checkEndpoints refuses half a provider.
func checkEndpoints(path string, a *Auth) error {
	switch {
	case a.AuthorizationEndpoint != "" && a.TokenEndpoint == "":
		return wrong(path+".authorization_endpoint", "goes with token_endpoint; set both, or none to have them discovered")
	case a.AuthorizationEndpoint == "" && a.TokenEndpoint != "":
		return wrong(path+".token_endpoint", "goes with authorization_endpoint; set both, or none to have them discovered")
	case a.RevocationEndpoint != "" && a.TokenEndpoint == "":
		return wrong(path+".revocation_endpoint", "it is discovered, unless authorization_endpoint and token_endpoint are set; remove it")
	case a.TokenEndpoint != "" && a.ClientID == "":
		return wrong(path+".token_endpoint", "a provider without discovery needs a client_id; register this site there, and set client_id")
	}
	return nil
}

// firstSet returns the first of the fields that is set, or "".
func firstSet(fields map[string]bool) string {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] {
			return name
		}
	}
	return ""
}

func (h *Handler) convertOAuthClient(path string, a *Auth, out *accounts.Server, resolve resolver) error {
	if a.ClientID == "" {
		if field := firstSet(map[string]bool{"client_secret": a.ClientSecret != "", "callback_path": a.CallbackPath != ""}); field != "" {
			return wrong(path+"."+field, "belongs to a client_id; set client_id too, or remove it")
		}
		return nil
	}
	out.Client = &accounts.Client{CallbackPath: a.CallbackPath}
	for _, v := range []struct {
		name, value string
		to          *string
	}{{"client_id", a.ClientID, &out.Client.ID}, {"client_secret", a.ClientSecret, &out.Client.Secret}} {
		text, known, err := resolve(v.value)
		if err != nil {
			return wrong(path+"."+v.name, "%v", err)
		}
		if known && v.value != "" && strings.TrimSpace(text) != text {
			return wrong(path+"."+v.name, "starts or ends with white space; remove that")
		}
		*v.to = text
	}
	secret := a.AuthMethod == "client_secret_basic" || a.AuthMethod == "client_secret_post"
	if secret && a.ClientSecret == "" {
		return wrong(path+".auth_method", "%s needs a client_secret", a.AuthMethod)
	}
	if a.AuthMethod != "" && !secret && a.ClientSecret != "" {
		return wrong(path+".auth_method", "%s uses no client_secret; remove one", a.AuthMethod)
	}
	return h.checkCallbackPath(path+".callback_path", out.ID, a.CallbackPath)
}

func convertPasted(path string, a *Auth, out *accounts.Server) error {
	if field := firstSet(map[string]bool{
		"scopes": len(a.Scopes) > 0, "client_id": a.ClientID != "", "client_secret": a.ClientSecret != "",
		"auth_method": a.AuthMethod != "", "callback_path": a.CallbackPath != "",
		"authorization_endpoint": a.AuthorizationEndpoint != "", "token_endpoint": a.TokenEndpoint != "",
		"revocation_endpoint": a.RevocationEndpoint != "", "issuer": a.Issuer != "", "resource": a.Resource != "",
		"no_resource": a.NoResource, "no_refresh_rotation": a.NoRefreshRotation, "metadata_document": a.MetadataDocument != nil,
		"allow_missing_pkce": a.AllowMissingPKCE,
		"authorize_params":   len(a.AuthorizeParams) > 0, "scope_separator": a.ScopeSeparator != "",
	}); field != "" {
		return wrong(path+"."+field, "is for auth oauth and per_user_oauth only; remove it")
	}
	pasted := a.Headers
	if len(pasted) == 0 {
		pasted = []AuthHeader{{Name: "Authorization", Prefix: "Bearer ", Label: "API key"}}
	}
	for i, header := range pasted {
		field := index(path+".headers", i)
		if err := checkUpstreamHeader(field, header.Name); err != nil {
			return err
		}
		canonical := http.CanonicalHeaderKey(header.Name)
		if !httpguts.ValidHeaderFieldValue(header.Prefix) {
			return wrong(field, "%s: the prefix has characters a header cannot have", canonical)
		}
		if slices.ContainsFunc(out.Headers, func(other accounts.Header) bool { return headers.Fold(other.Name) == headers.Fold(canonical) }) {
			return wrong(field, "%s is listed twice; remove one", canonical)
		}
		out.Headers = append(out.Headers, accounts.Header{Name: canonical, Prefix: header.Prefix, Label: cmp.Or(header.Label, canonical)})
	}
	return nil
}

// credentialHeaders are the headers that carry the credential.
func credentialHeaders(s accounts.Server) []string {
	if s.Mode != accounts.PerUserHeaders {
		return []string{"Authorization"}
	}
	names := make([]string, len(s.Headers))
	for i, h := range s.Headers {
		names[i] = h.Name
	}
	return names
}

// checkTakenHeaders refuses headers that would replace the credential.
func checkTakenHeaders(path string, s Server, out accounts.Server) error {
	server := strings.TrimSuffix(path, ".auth")
	for _, credential := range credentialHeaders(out) {
		for name := range s.Headers {
			if headers.Fold(name) == headers.Fold(credential) {
				return wrong(server+".headers."+name, "the header %s carries the connected account; remove it from headers", credential)
			}
		}
		for _, name := range proxyHeaders(s) {
			if headers.Fold(name) == headers.Fold(credential) {
				return wrong(server+".reverse_proxy", "header_up %s has no effect, since the header carries the connected account; remove it", name)
			}
		}
		for name := range s.IdentityHeaders {
			if headers.Fold(name) == headers.Fold(credential) {
				return wrong(server+".identity_headers."+name, "the header %s carries the connected account; remove the identity_header", credential)
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
