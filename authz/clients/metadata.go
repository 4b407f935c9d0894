package clients

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const (
	maxNameLen      = 200 // characters a person could still read
	maxTextLen      = 200
	maxRedirectURIs = 10
	maxContacts     = 10
	maxScopeLen     = 2 << 10
)

// InvalidMetadata is the answer to metadata this server cannot use (RFC 7591
// section 3.2.2).
func InvalidMetadata(description string) *oauth.Error {
	return oauth.NewError("invalid_client_metadata", description)
}

// CompleteMetadata checks what a client says of itself and fills in what it left out,
// for clients of every origin. What can only be shown, never needed (the URIs
// of logo, home page, policy and terms), is dropped if it is not a plain https
// URI; anything else that is wrong is refused.
//
// A name must consist of visible characters: control, bidirectional and
// zero-width characters would let it pass for another on the consent page. Only
// emoji may be joined to one, where nothing but the picture changes.
func CompleteMetadata(m *oauth.ClientMetadata, origin Origin, redirectSchemes []string) error {
	c := metadataCheck{m, origin, redirectSchemes}
	for _, step := range []func() error{c.checkText, c.completeAuthMethod, c.completeGrants, c.checkRedirectURIs, c.checkKeys} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, uri := range []*string{&m.ClientURI, &m.LogoURI, &m.TOSURI, &m.PolicyURI} {
		if !oauth.IsHTTPSURI(*uri) {
			*uri = ""
		}
	}
	return nil
}

// metadataCheck are the steps of completeMetadata.
type metadataCheck struct {
	*oauth.ClientMetadata
	origin          Origin
	redirectSchemes []string
}

// checkText bounds every text that is kept.
func (m metadataCheck) checkText() error {
	m.ClientName = strings.TrimSpace(m.ClientName)
	if !visible(m.ClientName, maxNameLen) {
		return InvalidMetadata("client_name must be at most 200 visible characters.")
	}
	if !visible(m.SoftwareID, maxTextLen) || !visible(m.SoftwareVersion, maxTextLen) {
		return InvalidMetadata("software_id and software_version must each be at most 200 visible characters.")
	}
	if len(m.Contacts) > maxContacts || slices.ContainsFunc(m.Contacts, func(s string) bool { return !visible(s, maxTextLen) }) {
		return InvalidMetadata("contacts must be at most 10 texts of at most 200 visible characters.")
	}
	if len(m.Scope) > maxScopeLen || strings.ContainsFunc(m.Scope, func(r rune) bool {
		return r < ' ' || r > '~' || r == '"' || r == '\\' // RFC 6749 appendix A.4
	}) {
		return InvalidMetadata("scope must be a list of scopes separated by spaces.")
	}
	return nil
}

// visible reports whether text has at most limit characters, all of which a
// person sees.
func visible(text string, limit int) bool {
	characters := []rune(text)
	if len(characters) > limit {
		return false
	}
	for i, r := range characters {
		if !unicode.IsGraphic(r) && !joinsEmoji(characters, i) || r == '\u2800' /* blank Braille */ ||
			unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) {
			return false
		}
	}
	return true
}

// joinsEmoji reports whether the character is a zero-width joiner between two
// emoji, the first perhaps with a skin tone or in emoji style (Unicode
// Technical Standard 51, section 1.4.5).
func joinsEmoji(text []rune, i int) bool {
	if text[i] != '\u200d' || i == 0 || i+1 == len(text) || !unicode.Is(unicode.So, text[i+1]) {
		return false
	}
	before := text[i-1]
	styled := before == '\ufe0f' && i > 1 && unicode.Is(unicode.So, text[i-2])
	return styled || unicode.Is(unicode.So, before) || '\U0001f3fb' <= before && before <= '\U0001f3ff'
}

// completeAuthMethod decides how the client authenticates. A registering
// client that says nothing gets a secret (RFC 7591 section 2), which it may send
// either way, or not at all: it has not said how it will, and some expect no
// secret. A document cannot hold one.
func (m metadataCheck) completeAuthMethod() error {
	if m.TokenEndpointAuthMethod == oauth.AuthSecretEither && m.origin == MetadataDocument {
		m.TokenEndpointAuthMethod = oauth.AuthNone
	}
	switch m.TokenEndpointAuthMethod {
	case oauth.AuthNone, oauth.AuthPrivateKeyJWT:
		return nil
	case oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthSecretEither:
		if m.origin != MetadataDocument {
			return nil
		}
	}
	return InvalidMetadata("token_endpoint_auth_method is not supported.")
}

// completeGrants completes grant and response types, which must fit each other
// (RFC 7591 section 2.1). What this server does not know is dropped: a client
// may list what it does elsewhere. Grant types that OAuth 2.1 abolished are
// refused. Only an operator can register a client that gets no codes, such
// as one that introspects.
func (m metadataCheck) completeGrants() error {
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}
	}
	if slices.Contains(m.GrantTypes, "implicit") || slices.Contains(m.GrantTypes, "password") {
		return InvalidMetadata("grant_types must not contain implicit or password.")
	}
	var known []string
	for _, g := range []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken} {
		if slices.Contains(m.GrantTypes, g) {
			known = append(known, g)
		}
	}
	if m.origin == Preregistered && slices.Contains(m.GrantTypes, oauth.GrantClientCredentials) { // nobody lets themselves in
		known = append(known, oauth.GrantClientCredentials)
	}
	if m.GrantTypes = known; m.origin != Preregistered && !slices.Contains(known, oauth.GrantAuthorizationCode) {
		return InvalidMetadata("grant_types must contain authorization_code.")
	}
	if len(m.ResponseTypes) > 0 && !slices.Contains(m.ResponseTypes, "code") {
		return InvalidMetadata("response_types must contain code.")
	}
	m.ResponseTypes = []string{"code"}
	return nil
}

// checkRedirectURIs drops redirect URIs nobody should be sent to, and refuses a
// client that has no others: many give the same list to every server, so that
// what this one does not take says nothing about the rest, and the answer to a
// registration shows what was kept (RFC 7591 section 3.2.1). An operator's
// client must have none that is wrong: there it is a mistake. A client that
// calls itself a web application must not receive codes at a person's own
// machine (OpenID Connect Registration section 2); one that says nothing may.
func (m metadataCheck) checkRedirectURIs() error {
	switch m.ApplicationType {
	case "", "native", "web":
	default:
		return InvalidMetadata("application_type must be native or web.")
	}
	refused := oauth.NewError("invalid_redirect_uri", "redirect_uris must have 1 to 10 usable entries.")
	usable := make([]string, 0, len(m.RedirectURIs))
	for _, uri := range m.RedirectURIs {
		if err := m.checkRedirectURI(uri); err != nil {
			refused = err
			continue
		}
		usable = append(usable, uri)
	}
	if m.origin == Preregistered && len(usable) < len(m.RedirectURIs) || m.origin != Preregistered && len(usable) == 0 || len(usable) > maxRedirectURIs {
		return refused
	}
	m.RedirectURIs = usable
	return nil
}

func (m metadataCheck) checkRedirectURI(uri string) *oauth.Error {
	if !oauth.RedirectURIRegistrable(uri, m.redirectSchemes) {
		refused := oauth.NewError("invalid_redirect_uri", "A redirect URI must be https, http to a loopback host, or of an allowed "+
			"private-use scheme, without fragment, user information, wildcard or dot segments.")
		if scheme, _, _ := strings.Cut(uri, ":"); oauth.RedirectURIRegistrable(uri, []string{scheme}) {
			return refused.Because("redirect_scheme") // it could be allowed
		}
		return refused
	}
	if m.ApplicationType == "web" && !strings.HasPrefix(uri, "https:") {
		return oauth.NewError("invalid_redirect_uri", "A web application's redirect URIs must be https.")
	}
	return nil
}

// checkKeys decides where the client's public keys come from. A client that
// does not authenticate may say that it has none.
func (m metadataCheck) checkKeys() error {
	m.JWKS = bytes.TrimSpace(m.JWKS)
	if len(m.JWKS) == 0 || string(m.JWKS) == "null" || m.TokenEndpointAuthMethod == oauth.AuthNone && hasNoKeys(m.JWKS) {
		m.JWKS = nil
	}
	if m.JWKS != nil && m.JWKSURI != "" {
		return InvalidMetadata("jwks and jwks_uri exclude each other.")
	}
	if m.JWKSURI != "" && !oauth.IsHTTPSURI(m.JWKSURI) {
		return InvalidMetadata("jwks_uri must be an https URI.")
	}
	if m.JWKS != nil {
		if _, err := keyRules.Parse(m.JWKS); err != nil {
			return InvalidMetadata("jwks must be a set of public keys, at least one of them usable.")
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, m.JWKS); err != nil {
			return InvalidMetadata("jwks must be a JSON object.")
		}
		m.JWKS = compact.Bytes()
	}
	if m.TokenEndpointAuthMethod == oauth.AuthPrivateKeyJWT && m.JWKS == nil && m.JWKSURI == "" {
		return InvalidMetadata("private_key_jwt needs jwks or jwks_uri.")
	}
	return nil
}

// hasNoKeys reports whether the JWK set is an empty one.
func hasNoKeys(set []byte) bool {
	var members struct {
		Keys []json.RawMessage `json:"keys"`
	}
	err := strictjson.Unmarshal(set, maxKeySetLen, &members)
	return err == nil && members.Keys != nil && len(members.Keys) == 0
}
