package accounts

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// oauthClient returns what makes the requests about a server.
func (st *site) oauthClient(s *Server) *client.Client {
	return &client.Client{
		Name:    "server " + s.ID,
		Guarded: st.deps.Egress, Operator: st.deps.Operator,
		Configured: []string{s.URL, s.VerifyURL, s.Issuer, s.AuthorizationEndpoint, s.TokenEndpoint, s.RevocationEndpoint},
		Profile:    st.profile(s),
		Quirks:     s.Quirks,
		Now:        st.deps.Now,
	}
}

// profile returns what the provider of a server may know of us. Each server
// has its own: what is known of us at one provider is of no use at another.
func (st *site) profile(s *Server) client.Profile {
	return client.Profile{
		Site: st.cfg.Issuer, Name: st.clientName(),
		RedirectURI: st.cfg.Issuer + s.RedirectPath(),
		DocumentID:  st.cfg.Issuer + ClientDocumentPath + s.ID,
		AuthMethod:  s.AuthMethod,
		AssertionSeeds: func() [][32]byte {
			return st.deps.Keys.Derive("client assertion " + strconv.Quote(st.cfg.Issuer) + strconv.Quote(s.ID))
		},
	}
}

func (st *site) clientName() string {
	if st.cfg.ClientName != "" {
		return st.cfg.ClientName
	}
	u, err := url.Parse(st.cfg.Issuer)
	if err != nil {
		return st.cfg.Issuer
	}
	return u.Host
}

// discover finds the provider of a server.
func (st *site) discover(ctx context.Context, s *Server) (*client.Provider, error) {
	p, err := st.oauthClient(s).Discover(ctx, client.Resource{
		URL: s.URL, Identifier: s.resource(), Scopes: s.Scopes, Issuer: s.Issuer,
		AuthorizationEndpoint: s.AuthorizationEndpoint, TokenEndpoint: s.TokenEndpoint, RevocationEndpoint: s.RevocationEndpoint,
	})
	return p, asProblem(err)
}

// asProblem returns the Error for what our OAuth client ran into.
func asProblem(err error) error {
	var failure *client.Error
	if errors.As(err, &failure) {
		return problem(Problem(failure.Problem), failure.Cause)
	}
	return err
}

// ClientDocument is a client ID metadata document of ours.
type ClientDocument struct {
	Path string
	// Body is JSON. It holds no secret.
	Body []byte
}

// ClientDocuments returns our client ID metadata documents for each server
// with OAuth.
func (st *site) ClientDocuments() []ClientDocument {
	var documents []ClientDocument
	for i := range st.cfg.Servers {
		s := &st.cfg.Servers[i]
		if s.Mode != OAuth && s.Mode != PerUserOAuth {
			continue
		}
		for _, d := range st.profile(s).Documents() {
			documents = append(documents, ClientDocument{Path: strings.TrimPrefix(d.ID, st.cfg.Issuer), Body: d.Body})
		}
	}
	return documents
}

// RedirectPath is the path of the redirect URI that the provider of the server
// knows.
func (s *Server) RedirectPath() string {
	switch {
	case s.Client == nil:
		return CallbackPath(s.ID)
	case s.Client.CallbackPath != "":
		return s.Client.CallbackPath
	}
	return SharedCallbackPath
}

// resource returns the identifier of the server (CL-11).
func (s *Server) resource() string {
	if s.Resource != "" {
		return s.Resource
	}
	canonical, _ := oauth.CanonicalResource(s.URL)
	return canonical
}

// origin returns where the server's credentials may go: the origin of its
// public name, as an internal address may change at any time.
func (s *Server) origin() string { return client.Origin(s.resource()) }

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

// known returns how the provider knows us.
func (s *Server) known(to binding) client.Known {
	return client.Known{ClientID: to.ClientID, Configured: s.Client != nil}
}

// isDocument reports whether a client ID is a document of ours for the server.
func (st *site) isDocument(s *Server, clientID string) bool {
	return st.profile(s).IsDocument(clientID)
}

// verify asks the server about credentials, with a request of our own that
// changes nothing there.
func (st *site) verify(ctx context.Context, s *Server, credentials []CredentialHeader) (*client.ProbeAnswer, error) {
	if s.VerifyURL != "" {
		return st.oauthClient(s).ProbeURL(ctx, s.VerifyURL, headerOf(credentials))
	}
	return st.oauthClient(s).Probe(ctx, s.URL, headerOf(credentials))
}
