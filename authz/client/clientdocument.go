package client

import (
	"crypto/sha256"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// Profile is what a provider may know of us.
type Profile struct {
	// Site is the public URL of this site, Name what it is called.
	Site, Name string
	// RedirectURI is where the provider sends browsers back to.
	RedirectURI string
	// DocumentID is the URL of our client ID metadata document for the
	// provider (draft-ietf-oauth-client-id-metadata-document).
	DocumentID string
	// AuthMethod is how the operator wants us to authenticate. Default: what the
	// registration or the provider's metadata says, else with a secret if there
	// is one.
	AuthMethod string
	// AssertionSeeds returns what the keys of our assertions are made from, one
	// for each key of the site, so that replacing one breaks nothing. Another
	// provider needs others: an assertion for one is then worth nothing there.
	AssertionSeeds func() [][sha256.Size]byte
}

// Document is a client ID metadata document of ours.
type Document struct {
	// ID is its URL, and the client ID.
	ID string
	// Body is JSON. It holds no secret.
	Body []byte
}

// clientMetadata is what we say about ourselves, in our documents and when we
// register.
type clientMetadata struct {
	ClientID string `json:"client_id,omitempty"`
	oauth.ClientMetadata
}

// Documents returns our client ID metadata documents: one for us as a client
// without credentials, unless the operator wants a key, and one with a key.
// There are none unless our public URL is https, as the provider has to fetch
// them.
func (p Profile) Documents() []Document {
	if !p.https() {
		return nil
	}
	return []Document{
		p.document(p.DocumentID, p.documentAuthMethod()),
		p.document(p.keyedDocumentID(), oauth.AuthPrivateKeyJWT),
	}
}

func (p Profile) document(id, authMethod string) Document {
	return Document{ID: id, Body: mustMarshal(p.metadata(id, authMethod))}
}

func (p Profile) https() bool { return strings.HasPrefix(p.Site, "https://") }

// OffersDocument reports whether a provider is shown our document: one that
// cannot fetch it refuses people with no word to us. Unless the operator says
// so, a provider on the internet is not shown that of a site with a name or
// address of some network or of this machine.
func (p Profile) OffersDocument(q Quirks, issuer string) bool {
	if !p.https() {
		return false
	}
	if q.MetadataDocument != nil {
		return *q.MetadataDocument
	}
	return placeOf(p.Site) >= placeOf(issuer)
}

func placeOf(rawURL string) egress.Place {
	u, err := url.Parse(rawURL)
	if err != nil {
		return egress.Internet
	}
	return egress.PlaceOf(u.Hostname())
}

// keyedDocumentID is the client ID for providers that want a key.
func (p Profile) keyedDocumentID() string { return p.DocumentID + "/key" }

// IsDocument reports whether a client ID is a document of ours.
func (p Profile) IsDocument(clientID string) bool {
	return p.https() && (clientID == p.DocumentID || clientID == p.keyedDocumentID())
}

// DocumentCredentials returns what we are at a provider that reads our documents
// and supports these ways to authenticate; none, if it does not say.
func (p Profile) DocumentCredentials(supported []string) *Credentials {
	wantsKey := slices.Contains(supported, oauth.AuthPrivateKeyJWT) && !slices.Contains(supported, oauth.AuthNone)
	if wantsKey && p.AuthMethod == "" {
		return &Credentials{ID: p.keyedDocumentID(), AuthMethod: oauth.AuthPrivateKeyJWT}
	}
	return &Credentials{ID: p.DocumentID, AuthMethod: p.documentAuthMethod()}
}

// documentAuthMethod is how a client authenticates whose document is public:
// with a key, or not at all.
func (p Profile) documentAuthMethod() string {
	if p.AuthMethod == oauth.AuthPrivateKeyJWT {
		return oauth.AuthPrivateKeyJWT
	}
	return oauth.AuthNone
}

// metadata describes us to the provider.
func (p Profile) metadata(id, authMethod string) clientMetadata {
	m := clientMetadata{id, oauth.ClientMetadata{
		ClientName:              p.Name,
		ClientURI:               p.Site,
		RedirectURIs:            []string{p.RedirectURI},
		GrantTypes:              []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
		ResponseTypes:           []string{"code"},
		TokenEndpointAuthMethod: authMethod,
		ApplicationType:         "web",
	}}
	if !p.https() {
		// http is for loopback only, which is for native clients (OpenID
		// Connect Registration section 2).
		m.ApplicationType, m.ClientURI = "native", ""
	}
	if authMethod == oauth.AuthPrivateKeyJWT {
		m.JWKS = mustMarshal(p.PublicKeys())
	}
	return m
}

// mustMarshal is for documents of texts and public keys, which always marshal.
func mustMarshal(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return body
}
