package upstream

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// ClientDocument is a client ID metadata document of ours.
type ClientDocument struct {
	Path string
	// Body is JSON. It holds no secret.
	Body []byte
}

// clientMetadata is what we say about ourselves, in our documents and when we
// register (RFC 7591 section 2).
type clientMetadata struct {
	ClientID                string              `json:"client_id,omitempty"`
	ClientName              string              `json:"client_name"`
	ClientURI               string              `json:"client_uri,omitempty"`
	RedirectURIs            []string            `json:"redirect_uris"`
	GrantTypes              []string            `json:"grant_types"`
	ResponseTypes           []string            `json:"response_types"`
	TokenEndpointAuthMethod string              `json:"token_endpoint_auth_method"`
	ApplicationType         string              `json:"application_type"`
	JWKS                    *jose.JSONWebKeySet `json:"jwks,omitempty"`
}

// ClientDocuments returns our client ID metadata documents
// (draft-ietf-oauth-client-id-metadata-document), one for each server with
// OAuth: what is known of us at one provider is of no use at another. There
// are none unless our public URL is https, as the providers have to fetch them.
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
		body, err := json.Marshal(b.clientMetadata(s, b.documentID(s), documentAuthMethod(s)))
		if err != nil {
			panic(err) // texts and public keys only
		}
		documents = append(documents, ClientDocument{Path: ClientDocumentPath + s.ID, Body: body})
	}
	return documents
}

func (b *Broker) https() bool { return strings.HasPrefix(b.cfg.Issuer, "https://") }

// documentID is the client ID that is the URL of our document.
func (b *Broker) documentID(s *Server) string { return b.cfg.Issuer + ClientDocumentPath + s.ID }

// documentAuthMethod is how a client authenticates whose document is public:
// with a key, or not at all.
func documentAuthMethod(s *Server) string {
	if s.Quirks.AuthMethod == authPrivateKeyJWT {
		return authPrivateKeyJWT
	}
	return authNone
}

// clientMetadata describes us to the provider of a server.
func (b *Broker) clientMetadata(s *Server, id, authMethod string) clientMetadata {
	m := clientMetadata{
		ClientID:                id,
		ClientName:              b.clientName(),
		ClientURI:               b.cfg.Issuer,
		RedirectURIs:            []string{b.redirectURI(s)},
		GrantTypes:              []string{"authorization_code", "refresh_token"},
		ResponseTypes:           []string{"code"},
		TokenEndpointAuthMethod: authMethod,
		ApplicationType:         "web",
	}
	if !b.https() {
		// http is for loopback only, which is for native clients (OpenID
		// Connect Registration section 2).
		m.ApplicationType, m.ClientURI = "native", ""
	}
	if authMethod == authPrivateKeyJWT {
		keys := b.publicKeys(s.ID)
		m.JWKS = &keys
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
