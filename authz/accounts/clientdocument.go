package accounts

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// ClientDocument is a client ID metadata document of ours.
type ClientDocument struct {
	Path string
	// Body is JSON. It holds no secret.
	Body []byte
}

// clientMetadata is what we say about ourselves, in our documents and when we
// register.
type clientMetadata struct {
	ClientID string `json:"client_id,omitempty"`
	oauth.ClientMetadata
}

// ClientDocuments returns our client ID metadata documents
// (draft-ietf-oauth-client-id-metadata-document) for each server with OAuth:
// what is known of us at one provider is of no use at another. Each has one for
// us as a client without credentials, unless the operator wants a key, and one
// with a key. There are none unless our public URL is https, as the providers
// have to fetch them.
func (b *Broker) ClientDocuments() []ClientDocument {
	if !b.https() {
		return nil
	}
	var documents []ClientDocument
	for i := range b.cfg.Servers {
		s := &b.cfg.Servers[i]
		if s.Mode != OAuth && s.Mode != PerUserOAuth {
			continue
		}
		documents = append(documents,
			b.clientDocument(s, b.documentID(s), documentAuthMethod(s)),
			b.clientDocument(s, b.keyedDocumentID(s), oauth.AuthPrivateKeyJWT))
	}
	return documents
}

func (b *Broker) clientDocument(s *Server, id, authMethod string) ClientDocument {
	return ClientDocument{Path: strings.TrimPrefix(id, b.cfg.Issuer), Body: mustMarshal(b.clientMetadata(s, id, authMethod))}
}

// mustMarshal is for documents of texts and public keys, which always marshal.
func mustMarshal(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return body
}

func (b *Broker) https() bool { return strings.HasPrefix(b.cfg.Issuer, "https://") }

// offersDocument reports whether a provider is shown our document: one that
// cannot fetch it refuses people with no word to us. Unless the operator says
// so, a provider on the internet is not shown that of a site with a name or
// address of some network or of this machine.
func (b *Broker) offersDocument(s *Server, provider string) bool {
	if !b.https() {
		return false
	}
	if s.Quirks.MetadataDocument != nil {
		return *s.Quirks.MetadataDocument
	}
	return placeOf(b.cfg.Issuer) >= placeOf(provider)
}

func placeOf(rawURL string) egress.Place {
	u, err := url.Parse(rawURL)
	if err != nil {
		return egress.Internet
	}
	return egress.PlaceOf(u.Hostname())
}

// documentID is the client ID that is the URL of our document.
func (b *Broker) documentID(s *Server) string { return b.cfg.Issuer + ClientDocumentPath + s.ID }

// keyedDocumentID is the client ID for providers that want a key.
func (b *Broker) keyedDocumentID(s *Server) string { return b.documentID(s) + "/key" }

// isDocument reports whether a client ID is a document of ours for the server.
func (b *Broker) isDocument(s *Server, clientID string) bool {
	return b.https() && (clientID == b.documentID(s) || clientID == b.keyedDocumentID(s))
}

// documentClient returns what we are at a provider that reads our documents and
// supports these ways to authenticate; none, if it does not say.
func (b *Broker) documentClient(s *Server, supported []string) *client {
	wantsKey := slices.Contains(supported, oauth.AuthPrivateKeyJWT) && !slices.Contains(supported, oauth.AuthNone)
	if wantsKey && s.Quirks.AuthMethod == "" {
		return &client{ID: b.keyedDocumentID(s), AuthMethod: oauth.AuthPrivateKeyJWT}
	}
	return &client{ID: b.documentID(s), AuthMethod: documentAuthMethod(s)}
}

// documentAuthMethod is how a client authenticates whose document is public:
// with a key, or not at all.
func documentAuthMethod(s *Server) string {
	if s.Quirks.AuthMethod == oauth.AuthPrivateKeyJWT {
		return oauth.AuthPrivateKeyJWT
	}
	return oauth.AuthNone
}

// clientMetadata describes us to the provider of a server.
func (b *Broker) clientMetadata(s *Server, id, authMethod string) clientMetadata {
	m := clientMetadata{id, oauth.ClientMetadata{
		ClientName:              b.clientName(),
		ClientURI:               b.cfg.Issuer,
		RedirectURIs:            []string{b.redirectURI(s)},
		GrantTypes:              []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
		ResponseTypes:           []string{"code"},
		TokenEndpointAuthMethod: authMethod,
		ApplicationType:         "web",
	}}
	if !b.https() {
		// http is for loopback only, which is for native clients (OpenID
		// Connect Registration section 2).
		m.ApplicationType, m.ClientURI = "native", ""
	}
	if authMethod == oauth.AuthPrivateKeyJWT {
		m.JWKS = mustMarshal(b.publicKeys(s.ID))
	}
	return m
}

func (b *Broker) clientName() string {
	if b.cfg.ClientName != "" {
		return b.cfg.ClientName
	}
	u, err := url.Parse(b.cfg.Issuer)
	if err != nil {
		return b.cfg.Issuer
	}
	return u.Host
}

// redirectURI is where the provider of a server sends browsers back to.
func (b *Broker) redirectURI(s *Server) string { return b.cfg.Issuer + s.RedirectPath() }

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
