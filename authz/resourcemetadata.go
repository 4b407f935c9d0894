package authz

import (
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// resourceMetadata is RFC 9728 section 2.
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	// ScopesSupported is the least a call needs, not the catalogue: clients
	// that got no scope in a challenge ask for all of it.
	ScopesSupported        []string `json:"scopes_supported,omitempty"`
	BearerMethodsSupported []string `json:"bearer_methods_supported"`
	ResourceName           string   `json:"resource_name,omitempty"`
	Documentation          string   `json:"resource_documentation,omitempty"`
	PolicyURI              string   `json:"resource_policy_uri,omitempty"`
	TOSURI                 string   `json:"resource_tos_uri,omitempty"`
}

// resourceMetadataURL returns where the metadata of a server is (RFC 9728
// section 3.1), for the URL with or without a trailing slash. The server at
// the root of the site is named without it.
func resourceMetadataURL(issuer, path string, slash bool) string {
	path = strings.TrimSuffix(path, "/")
	if slash && path != "" {
		path += "/"
	}
	return issuer + protectedResourceWK + path
}

// addResourceMetadata adds the document of each server. A client compares the
// resource with the URL it was given, byte for byte (RFC 9728 section 3.3), so
// the URL with a trailing slash has a document of its own; both resources are
// the same audience once they come back in a request.
//
// The document at the root is that of the server there, else of the first.
func (as *AuthorizationServer) addResourceMetadata(bodies map[string][]byte) {
	for i, s := range as.cfg.Servers {
		path := strings.TrimSuffix(s.Path, "/")
		plain := as.resourceMetadata(&s, s.Resource)
		bodies[protectedResourceWK+path] = plain
		bodies[protectedResourceWK+path+"/"] = as.resourceMetadata(&s, s.Resource+"/")
		if i == 0 {
			bodies[protectedResourceWK] = plain
		}
	}
}

func (as *AuthorizationServer) resourceMetadata(s *Server, resource string) []byte {
	return mustMarshal(resourceMetadata{
		Resource:               resource,
		AuthorizationServers:   []string{as.cfg.Issuer},
		ScopesSupported:        oauth.WithoutOfflineAccess(s.Scopes),
		BearerMethodsSupported: []string{"header"},
		ResourceName:           s.Title,
		Documentation:          s.Documentation,
		PolicyURI:              s.Policy,
		TOSURI:                 s.TermsOfService,
	})
}
