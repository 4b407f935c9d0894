package authz

import (
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

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
		bodies[oauth.ProtectedResourcePath+path] = plain
		bodies[oauth.ProtectedResourcePath+path+"/"] = as.resourceMetadata(&s, s.Resource+"/")
		if i == 0 {
			bodies[oauth.ProtectedResourcePath] = plain
		}
	}
}

func (as *AuthorizationServer) resourceMetadata(s *Server, resource string) []byte {
	return mustMarshal(oauth.ResourceMetadata{
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
