package authz

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

func (as *AuthorizationServer) metadata() oauth.ServerMetadata {
	// Introspection tells about other people's tokens, so never to a public client.
	confidential := []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthPrivateKeyJWT}
	all := append([]string{oauth.AuthNone}, confidential...)
	m := oauth.ServerMetadata{
		Issuer:                as.cfg.Issuer,
		AuthorizationEndpoint: as.cfg.Issuer + AuthorizePath,
		TokenEndpoint:         as.cfg.Issuer + TokenPath,
		RevocationEndpoint:    as.cfg.Issuer + RevokePath,
		IntrospectionEndpoint: as.cfg.Issuer + IntrospectPath,
		ServiceDocumentation:  as.cfg.Documentation,
		ScopesSupported:       as.metadataScopes(),
		ResponseTypes:         []string{"code"},
		ResponseModes:         []string{"query"},
		GrantTypes:            []string{"authorization_code", "refresh_token"},
		TokenAuthMethods:      all,
		TokenAuthAlgs:         assertionAlgorithms,
		RevocationAuthMethods: all,
		RevocationAuthAlgs:    assertionAlgorithms,
		IntrospectAuthMethods: confidential,
		IntrospectAuthAlgs:    assertionAlgorithms,
		CodeChallengeMethods:  []string{oauth.MethodS256},
		MetadataDocuments:     as.cfg.Registration.MetadataDocuments,
		Iss:                   true,
	}
	if as.cfg.Registration.Dynamic {
		m.RegistrationEndpoint = as.cfg.Issuer + RegisterPath
	}
	return m
}

// metadataWithoutDocuments is what clients read while their documents cannot
// be fetched.
func (as *AuthorizationServer) metadataWithoutDocuments() oauth.ServerMetadata {
	m := as.metadata()
	m.MetadataDocuments = false
	return m
}

// hasAnotherWay reports whether documents are not the only way for a client to
// become known: only then it helps not to advertise them.
func (as *AuthorizationServer) hasAnotherWay() bool {
	r := &as.cfg.Registration
	return r.MetadataDocuments && r.Dynamic && r.InitialAccessToken == nil
}

// metadataScopes lists every scope there is, and offline_access, which belongs
// in this document only.
func (as *AuthorizationServer) metadataScopes() []string {
	var scopes []string
	for _, s := range as.cfg.Servers {
		scopes = slices.Concat(scopes, s.Scopes, s.OptionalScopes)
	}
	scopes = append(scopes, oauth.OfflineAccess)
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// metadataRoutes returns the well-known endpoints. The whole of each
// well-known prefix is answered here, so that a wrong suffix is a 404 whatever
// else the site serves.
//
// The issuer has no path, but clients that take an MCP server's URL for an
// issuer insert its path or append to it; they all find the one document, whose
// issuer tells them (RFC 8414 section 3.1, OpenID Connect Discovery section 4.1).
// Some append to a server's URL for its own document too.
func (as *AuthorizationServer) metadataRoutes() []Route {
	docs := documents{as: as, bodies: make(map[string][]byte), withoutDocuments: make(map[string][]byte)}
	handler := oauth.CORS(as.log, &docs, http.MethodGet)
	var routes []Route
	for _, path := range []string{oauth.AuthorizationServerPath, oauth.OpenIDConfigurationPath, oauth.ProtectedResourcePath} {
		routes = append(routes, Route{path, handler}, Route{path + "/", handler})
	}
	own, withoutDocuments := mustMarshal(as.metadata()), mustMarshal(as.metadataWithoutDocuments())
	add := func(path string) {
		docs.bodies[path], docs.withoutDocuments[path] = own, withoutDocuments
	}
	add(oauth.AuthorizationServerPath)
	add(oauth.OpenIDConfigurationPath)
	for _, s := range as.cfg.Servers {
		path := strings.TrimSuffix(s.Path, "/")
		for _, inserted := range []string{path, path + "/"} {
			add(oauth.AuthorizationServerPath + inserted)
			add(oauth.OpenIDConfigurationPath + inserted)
		}
	}
	as.addResourceMetadata(docs.bodies)
	for _, s := range as.cfg.Servers {
		path := strings.TrimSuffix(s.Path, "/")
		if path == "" {
			continue // nothing to append to
		}
		for _, name := range []string{oauth.AuthorizationServerPath, oauth.OpenIDConfigurationPath, oauth.ProtectedResourcePath} {
			docs.bodies[path+name] = docs.bodies[name+path]
			docs.withoutDocuments[path+name] = docs.withoutDocuments[name+path]
			routes = append(routes, Route{path + name, handler})
		}
	}
	return routes
}

// documents serves JSON documents by exact path.
type documents struct {
	as     *AuthorizationServer
	bodies map[string][]byte
	// withoutDocuments stand in while client metadata documents cannot be fetched.
	withoutDocuments map[string][]byte
}

func (d *documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := d.bodies[r.URL.Path]
	if !ok {
		d.as.notFound(w, r)
		return
	}
	if other := d.withoutDocuments[r.URL.Path]; other != nil && d.as.hasAnotherWay() && !d.as.clients.documents.fetchable(r.Context()) {
		body = other
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body) // net/http drops it for HEAD
}

// NotFound answers at the site's other paths that are the issuer's.
func (as *AuthorizationServer) NotFound() http.Handler { return http.HandlerFunc(as.notFound) }

// notFound answers for what this issuer does not have.
func (as *AuthorizationServer) notFound(w http.ResponseWriter, _ *http.Request) {
	oauth.WriteError(w, as.log, &oauth.Error{Status: http.StatusNotFound, Code: "not_found", Description: "There is no such document or endpoint."})
}

// mustMarshal is for documents of strings and booleans, which always marshal.
func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
