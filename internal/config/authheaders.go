package config

import (
	"cmp"
	"net/http"
	"slices"

	"golang.org/x/net/http/httpguts"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
)

// AuthHeader is a request header with a key that a person pastes.
type AuthHeader struct {
	// Name is the name of the header, such as `X-API-Key`.
	Name string `json:"name"`
	// Prefix stands before the key, such as `Bearer ` with its space. Default: none.
	Prefix string `json:"prefix,omitempty"`
	// Label is what people are asked for. Default: the name of the header.
	Label string `json:"label,omitempty"`
}

func (a *Auth) resolvePasted(path string) error {
	if field := a.firstSet(func(name string) bool {
		return !slices.Contains(pastedFields, name) && !slices.Contains(commonFields, name)
	}); field != "" {
		return Errorf(path+"."+field, "is for auth oauth and per_user_oauth only; remove it")
	}
	if len(a.Headers) == 0 {
		a.Headers = []AuthHeader{{Name: "Authorization", Prefix: "Bearer ", Label: "API key"}}
	}
	a.Headers = slices.Clone(a.Headers)
	for i := range a.Headers {
		header, field := &a.Headers[i], Index(path+".headers", i)
		if err := checkUpstreamHeader(field, header.Name); err != nil {
			return err
		}
		header.Name = http.CanonicalHeaderKey(header.Name)
		if !httpguts.ValidHeaderFieldValue(header.Prefix) {
			return Errorf(field, "%s: the prefix has characters a header cannot have", header.Name)
		}
		if slices.ContainsFunc(a.Headers[:i], func(other AuthHeader) bool { return headers.Fold(other.Name) == headers.Fold(header.Name) }) {
			return Errorf(field, "%s is listed twice; remove one", header.Name)
		}
		header.Label = cmp.Or(header.Label, header.Name)
	}
	return nil
}

// credentialHeaders are the headers that carry the credential.
func (a *Auth) credentialHeaders() []string {
	if a.Mode != PerUserHeaders {
		return []string{"Authorization"}
	}
	names := make([]string, len(a.Headers))
	for i, h := range a.Headers {
		names[i] = h.Name
	}
	return names
}

// checkTakenHeaders refuses headers that would replace the credential.
func (s *Server) checkTakenHeaders(path string) error {
	for _, credential := range s.Auth.credentialHeaders() {
		for name := range s.Headers {
			if headers.Fold(name) == headers.Fold(credential) {
				return Errorf(path+".headers."+name, "the header %s carries the connected account; remove it from headers", credential)
			}
		}
		for _, name := range s.proxyHeaders() {
			if headers.Fold(name) == headers.Fold(credential) {
				return Errorf(path+".reverse_proxy", "header_up %s has no effect, since the header carries the connected account; remove it", name)
			}
		}
		if headers.Fold(s.IdentityJWT) == headers.Fold(credential) {
			return Errorf(path+".identity_jwt", "the header %s carries the connected account; use another name, such as X-Identity", credential)
		}
		for name := range s.IdentityHeaders {
			if headers.Fold(name) == headers.Fold(credential) {
				return Errorf(path+".identity_headers."+name, "the header %s carries the connected account; remove the identity_header", credential)
			}
		}
	}
	return nil
}
