package server

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// metadataEndpoint answers at the well-known paths of one issuer and of its
// servers.
type metadataEndpoint struct {
	cfg        *config.Site
	grantTypes []string
	// fetchable reports whether client metadata documents can be fetched.
	fetchable func(context.Context) bool
	events    *event.Recorder
}

func (m *metadataEndpoint) document() oauth.ServerDocument {
	// Introspection tells about other people's tokens, so never to a public client.
	confidential := []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthPrivateKeyJWT}
	all := append([]string{oauth.AuthNone}, confidential...)
	d := oauth.ServerDocument{
		Issuer:                m.cfg.Issuer,
		AuthorizationEndpoint: m.cfg.Issuer + AuthorizePath,
		TokenEndpoint:         m.cfg.Issuer + TokenPath,
		RevocationEndpoint:    m.cfg.Issuer + revokePath,
		IntrospectionEndpoint: m.cfg.Issuer + introspectPath,
		ServiceDocumentation:  m.cfg.ServiceDocumentation,
		ScopesSupported:       m.scopes(),
		ResponseTypes:         []string{"code"},
		ResponseModes:         []string{"query"},
		GrantTypes:            m.grantTypes,
		TokenAuthMethods:      all,
		TokenAuthAlgs:         clients.AssertionAlgorithms,
		RevocationAuthMethods: all,
		RevocationAuthAlgs:    clients.AssertionAlgorithms,
		IntrospectAuthMethods: confidential,
		IntrospectAuthAlgs:    clients.AssertionAlgorithms,
		CodeChallengeMethods:  []string{oauth.MethodS256},
		MetadataDocuments:     *m.cfg.Registration.MetadataDocuments,
		Iss:                   true,
	}
	if elsewhere := m.cfg.ConsentElsewhere(); elsewhere != nil {
		d.AuthorizationEndpoint = elsewhere.AuthorizeURL
	}
	if m.cfg.Signs() {
		d.JWKSURI = m.cfg.Issuer + oauth.JWKSPath
	}
	if *m.cfg.Registration.Dynamic {
		d.RegistrationEndpoint = m.cfg.Issuer + RegisterPath
	}
	return d
}

// withoutDocuments is what clients read while their documents cannot
// be fetched.
func (m *metadataEndpoint) withoutDocuments() oauth.ServerDocument {
	d := m.document()
	d.MetadataDocuments = false
	return d
}

// hasAnotherWay reports whether documents are not the only way for a client to
// become known: only then it helps not to advertise them.
func (m *metadataEndpoint) hasAnotherWay() bool {
	r := m.cfg.Registration
	return *r.MetadataDocuments && *r.Dynamic && !r.NeedsToken()
}

// scopes lists every scope there is, and offline_access, which belongs
// in this document only.
func (m *metadataEndpoint) scopes() []string {
	var scopes []string
	for _, s := range m.cfg.Servers {
		scopes = slices.Concat(scopes, s.Scopes, s.OptionalScopes)
	}
	scopes = append(scopes, oauth.OfflineAccess)
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// routes returns the well-known endpoints. The whole of each
// well-known prefix is answered here, so that a wrong suffix is a 404 whatever
// else the site serves.
//
// The issuer has no path, but clients that take an MCP server's URL for an
// issuer insert its path or append to it; they all find the one document, whose
// issuer tells them (RFC 8414 section 3.1, OpenID Connect Discovery section 4.1).
// Some append to a server's URL for its own document too.
func (m *metadataEndpoint) routes() []Route {
	docs := documents{endpoint: m, bodies: make(map[string][]byte), withoutDocuments: make(map[string][]byte)}
	handler := oauth.CORS(m.events, &docs, http.MethodGet)
	var routes []Route
	for _, path := range []string{oauth.AuthorizationServerPath, oauth.OpenIDConfigurationPath, oauth.ProtectedResourcePath} {
		routes = append(routes, Route{path, handler}, Route{path + "/", handler})
	}
	own, withoutDocuments := mustMarshal(m.document()), mustMarshal(m.withoutDocuments())
	add := func(path string) {
		docs.bodies[path], docs.withoutDocuments[path] = own, withoutDocuments
	}
	add(oauth.AuthorizationServerPath)
	add(oauth.OpenIDConfigurationPath)
	for _, s := range m.cfg.Servers {
		path := strings.TrimSuffix(s.Path, "/")
		for _, inserted := range []string{path, path + "/"} {
			add(oauth.AuthorizationServerPath + inserted)
			add(oauth.OpenIDConfigurationPath + inserted)
		}
	}
	m.addResources(docs.bodies)
	for _, s := range m.cfg.Servers {
		path := strings.TrimSuffix(s.Path, "/")
		if s.HasAccounts() {
			routes = append(routes, Route{path + "/", handler}) // what is not an account itself
		}
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
	endpoint *metadataEndpoint
	bodies   map[string][]byte
	// withoutDocuments are served while client metadata documents cannot be fetched.
	withoutDocuments map[string][]byte
}

func (d *documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	body, ok := d.bodies[path]
	if !ok {
		path, body = d.ofAccount(path)
	}
	if body == nil {
		notFound(w, r, d.endpoint.events)
		return
	}
	other := d.withoutDocuments[path]
	// A site that asks itself does not wait for the names of others.
	if other != nil && d.endpoint.hasAnotherWay() && !event.IsUnheard(r.Context()) && !d.endpoint.fetchable(r.Context()) {
		body = other
	}
	d.endpoint.events.Record(r.Context(), d.step(r.URL.Path))
	oauth.WriteDocument(w, body, "public, max-age=300")
}

// step is that a client read a document, and which.
func (d *documents) step(path string) event.Event {
	e := event.Event{Kind: event.MetadataServed, By: event.ByClient, Reason: "authorization_server"}
	if strings.Contains(path, oauth.ProtectedResourcePath) {
		e.Reason, e.Server = "protected_resource", d.serverOf(path)
	}
	if !*d.endpoint.cfg.Registration.Dynamic {
		e.Detail = "It offers no registration."
	}
	return e
}

// serverOf returns the id of the server whose document is at a path.
func (d *documents) serverOf(path string) string {
	path = strings.Replace(path, oauth.ProtectedResourcePath, "", 1)
	if account := d.endpoint.cfg.AccountAt(strings.TrimSuffix(path, "/")); account != nil {
		return account.ID
	}
	for i, s := range d.endpoint.cfg.Servers {
		if strings.TrimSuffix(s.Path, "/") == strings.TrimSuffix(path, "/") || i == 0 && path == "" {
			return s.ID
		}
	}
	return ""
}

// mustMarshal is for documents of strings and booleans, which always marshal.
func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
