package server

import (
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// addResources adds the document of each server. A client compares the
// resource with the URL it was given, byte for byte (RFC 9728 section 3.3), so
// the URL with a trailing slash has a document of its own; both resources are
// the same audience once they come back in a request.
//
// The document at the root is that of the server there, else of the first.
func (m *metadataEndpoint) addResources(bodies map[string][]byte) {
	for i, s := range m.cfg.Servers {
		path := strings.TrimSuffix(s.Path, "/")
		plain := m.resource(s, s.Resource)
		bodies[oauth.ProtectedResourcePath+path] = plain
		bodies[oauth.ProtectedResourcePath+path+"/"] = m.resource(s, s.Resource+"/")
		if i == 0 {
			bodies[oauth.ProtectedResourcePath] = plain
		}
	}
}

// ofAccount returns the document at a path that has the one of an account in it: any
// that there could be, as nobody is told who has which. It is nil if there is none.
// Documents of the authorization server are all at one path.
func (d *documents) ofAccount(path string) (at string, body []byte) {
	m := d.endpoint
	for _, name := range []string{oauth.ProtectedResourcePath, oauth.AuthorizationServerPath, oauth.OpenIDConfigurationPath} {
		of, appended := strings.CutSuffix(path, name)
		if !appended {
			var inserted bool
			if of, inserted = strings.CutPrefix(path, name); !inserted {
				continue
			}
		}
		plain, slashed := strings.CutSuffix(of, "/")
		account := m.cfg.AccountAt(plain)
		switch {
		case account == nil || appended && slashed:
			return "", nil
		case name != oauth.ProtectedResourcePath:
			return name, d.bodies[name]
		case slashed:
			return path, m.resource(account, account.Resource+"/")
		}
		return path, m.resource(account, account.Resource)
	}
	return "", nil
}

func (m *metadataEndpoint) resource(s *config.Server, resource string) []byte {
	return mustMarshal(oauth.ResourceDocument{
		ResourceMetadata: oauth.ResourceMetadata{
			Resource:             resource,
			AuthorizationServers: []string{m.cfg.Issuer},
			ScopesSupported:      oauth.WithoutOfflineAccess(s.Scopes),
		},
		BearerMethodsSupported: []string{"header"},
		ResourceName:           s.Title,
		Documentation:          s.ResourceDocumentation,
		PolicyURI:              s.ResourcePolicyURI,
		TOSURI:                 s.ResourceTOSURI,
	})
}
