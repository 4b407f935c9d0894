package accounts

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// clientDocumentPath starts the path of our client ID metadata documents.
const clientDocumentPath = "/oauth/client/"

// oauthClient returns what makes the requests about a server.
func (st *site) oauthClient(s *config.Server) *client.Client {
	return &client.Client{
		Name:    "server " + s.ID,
		Guarded: st.deps.Egress, Operator: st.deps.Operator,
		Configured: []string{s.Upstream, s.Auth.VerifyURL, s.Auth.Issuer, s.Auth.AuthorizationEndpoint, s.Auth.TokenEndpoint, s.Auth.RevocationEndpoint, s.Auth.AccountURL},
		Profile:    st.profile(s),
		Quirks:     s.Auth.Quirks,
		Now:        st.storeNow, // what providers say of time is judged alike by all processes
	}
}

// profile returns what the provider of a server may know of us. Each server
// has its own: what is known of us at one provider is of no use at another.
func (st *site) profile(s *config.Server) client.Profile {
	return client.Profile{
		Site: st.cfg.Issuer, Name: st.cfg.Branding.Name,
		RedirectURI: st.cfg.Issuer + s.CallbackPath(),
		DocumentID:  st.cfg.Issuer + clientDocumentPath + s.ID,
		AuthMethod:  s.Auth.AuthMethod,
		AssertionSeeds: func() [][32]byte {
			return st.deps.Keys.Derive("client assertion " + strconv.Quote(st.cfg.Issuer) + strconv.Quote(s.ID))
		},
	}
}

// discover finds the provider of a server.
func (st *site) discover(ctx context.Context, s *config.Server) (*client.Provider, error) {
	return st.oauthClient(s).Discover(ctx, client.Resource{
		URL: s.Upstream, Identifier: resourceOf(s), Scopes: s.Auth.Scopes, Issuer: s.Auth.Issuer,
		AuthorizationEndpoint: s.Auth.AuthorizationEndpoint, TokenEndpoint: s.Auth.TokenEndpoint, RevocationEndpoint: s.Auth.RevocationEndpoint,
	})
}

// ClientDocuments returns our client ID metadata documents for each server with
// OAuth, as JSON by path. They hold no secret.
func (st *site) ClientDocuments() map[string][]byte {
	documents := map[string][]byte{}
	for _, s := range st.cfg.ConnectedServers() {
		if s.Auth.Mode != config.OAuth && s.Auth.Mode != config.PerUserOAuth {
			continue
		}
		for _, d := range st.profile(s).Documents() {
			documents[strings.TrimPrefix(d.ID, st.cfg.Issuer)] = d.Body
		}
	}
	return documents
}

// resourceOf returns the identifier of the server (CL-11).
func resourceOf(s *config.Server) string {
	if s.Auth.Resource != "" {
		return s.Auth.Resource
	}
	canonical, _ := oauth.CanonicalResource(s.Upstream)
	return canonical
}

// originOf returns where the server's credentials may go: the origin of its
// public name, as an internal address may change at any time.
func originOf(s *config.Server) string { return client.Origin(resourceOf(s)) }

// tokenEndpoint is where tokens are asked for.
func (to *binding) tokenEndpoint() client.Endpoint {
	return client.Endpoint{URL: to.TokenEndpoint, Issuer: to.Provider, Resource: to.Resource}
}

// revocationEndpoint is where they are revoked.
func (to *binding) revocationEndpoint() client.Endpoint {
	return client.Endpoint{URL: to.RevocationEndpoint, Issuer: to.Provider}
}

// headerOf returns credentials as a request carries them.
func headerOf(credentials []CredentialHeader) http.Header {
	header := http.Header{}
	for _, c := range credentials {
		header.Set(c.Name, c.Value)
	}
	return header
}

// knownAs returns how the provider knows us.
func knownAs(s *config.Server, to binding) client.Known {
	return client.Known{ClientID: to.ClientID, Configured: s.Auth.ClientID != ""}
}

// isDocument reports whether a client ID is a document of ours for the server.
func (st *site) isDocument(s *config.Server, clientID string) bool {
	return st.profile(s).IsDocument(clientID)
}

// verify asks the server about credentials, with a request of our own that
// changes nothing there.
func (st *site) verify(ctx context.Context, s *config.Server, credentials []CredentialHeader) (*client.ProbeAnswer, error) {
	if s.Auth.VerifyURL != "" {
		return st.oauthClient(s).ProbeURL(ctx, s.Auth.VerifyURL, headerOf(credentials))
	}
	return st.oauthClient(s).Probe(ctx, s.Upstream, headerOf(credentials))
}
