package doctor

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// provider is an authorization server as its metadata describes it.
type provider struct {
	oauth.ServerMetadata
	ResponseTypes oauth.Strings `json:"response_types_supported"`
	GrantTypes    oauth.Strings `json:"grant_types_supported"`
	// place is where the metadata was.
	place string
}

const providerStep = "authorization server"

// provider reads the authorization server's metadata (RFC 8414).
func (p *player) provider(r protected) (*provider, bool) {
	u, err := url.Parse(r.issuer)
	if err != nil { // judged before
		return nil, false
	}
	places := metadataPlaces(u)
	if p.f.revision < mcp.November2025 {
		places = places[:1]
	}
	if p.f.revision == march2025 && !isJSONObject(p.get(places[0])) { // whatever is there instead
		return nil, p.leave(NotOffered, providerStep, "the server is not its own authorization server, as it was in that revision")
	}
	for _, place := range places {
		a, v := p.document(providerStep, place)
		switch v {
		case unusable:
			return nil, false
		case present:
			return p.judgeProvider(r, place, a)
		}
	}
	missing := p.get(places[0])
	if p.f.revision == mcp.June2025 && p.anyPresent(metadataPlaces(u)[1:]) {
		return nil, p.stop(providerStep, oidcOnly, places[0], missing.describe(), missing)
	}
	return nil, p.stop(providerStep, noProviderMetadata, places[0], missing.describe(), missing)
}

// metadataPlaces are where the metadata of an issuer can be, in the order in
// which clients look (MCP authorization, authorization server metadata discovery).
func metadataPlaces(issuer *url.URL) []string {
	at, path := origin(issuer), strings.TrimSuffix(issuer.EscapedPath(), "/")
	places := []string{at + oauth.AuthorizationServerPath + path, at + oauth.OpenIDConfigurationPath + path}
	if path != "" {
		places = append(places, at+path+oauth.OpenIDConfigurationPath)
	}
	return places
}

func (p *player) judgeProvider(r protected, place string, a *answer) (*provider, bool) {
	m := &provider{place: place}
	if err := a.json(m); err != nil {
		return nil, p.stop(providerStep, notJSON, place, err.Error(), a)
	}
	p.report.SignIn, p.report.Issuer = "oauth", said(r.issuer)
	if m.Issuer != r.issuer && p.f.revision != march2025 {
		p.report.hints.issuer = m.Issuer
		seen := fmt.Sprintf("issuer is %s, and was asked for as %s", said(named(m.Issuer)), r.issuer)
		if strings.TrimSuffix(m.Issuer, "/") == strings.TrimSuffix(r.issuer, "/") {
			seen += ": a slash at the end"
		}
		return nil, p.stop(providerStep, issuerMismatch, place, seen, a)
	}
	if missing := m.missing(); missing != "" {
		return nil, p.stop(providerStep, incomplete, place, missing+" is missing", a)
	}
	if wrong := p.target.badEndpoint(m); wrong != "" {
		return nil, p.stop(providerStep, badEndpoint, place, wrong, a)
	}
	if !m.hasCodeGrant() {
		return nil, p.stop(providerStep, noCodeGrant, place, fmt.Sprintf("response_types_supported %v, grant_types_supported %v", m.ResponseTypes, m.GrantTypes), a)
	}
	p.noteProvider(m, a)
	if !slices.Contains(m.CodeChallengeMethods, oauth.MethodS256) {
		seen := fmt.Sprintf("code_challenge_methods_supported %v", m.CodeChallengeMethods)
		if p.f.revision >= mcp.November2025 {
			return nil, p.stop(providerStep, noPKCE, place, seen, a)
		}
		p.note(noPKCE, place, seen, a)
	}
	p.compare(m)
	p.did(providerStep, shown(place))
	return m, true
}

// noteProvider records what a client can live with.
func (p *player) noteProvider(m *provider, a *answer) {
	if len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, oauth.GrantRefreshToken) {
		p.note(noRefresh, m.place, fmt.Sprintf("grant_types_supported %v", m.GrantTypes), a)
	}
	if !slices.Contains(m.AuthMethods, oauth.AuthNone) && p.f.registers != byConfig {
		p.note(noPublicClients, m.place, fmt.Sprintf("token_endpoint_auth_methods_supported %v", m.AuthMethods), a)
	}
}

// missing returns the first required member that is not there.
func (m *provider) missing() string {
	switch {
	case m.AuthorizationEndpoint == "":
		return "authorization_endpoint"
	case m.TokenEndpoint == "":
		return "token_endpoint"
	case len(m.ResponseTypes) == 0:
		return "response_types_supported"
	}
	return ""
}

func (m *provider) hasCodeGrant() bool {
	return slices.Contains(m.ResponseTypes, "code") &&
		(len(m.GrantTypes) == 0 || slices.Contains(m.GrantTypes, oauth.GrantAuthorizationCode))
}

// compare compares the documents that an authorization server has in the places
// where clients look.
func (p *player) compare(m *provider) {
	u, err := url.Parse(m.Issuer)
	if err != nil || p.f.origin != "" || !slices.Contains(metadataPlaces(u), m.place) {
		return
	}
	for _, place := range metadataPlaces(u) {
		a := p.get(place)
		other := &provider{place: place}
		if place == m.place || !isJSONObject(a) || a.json(other) != nil {
			continue
		}
		for _, member := range []struct{ name, one, other string }{
			{"issuer", m.Issuer, other.Issuer},
			{"authorization_endpoint", m.AuthorizationEndpoint, other.AuthorizationEndpoint},
			{"token_endpoint", m.TokenEndpoint, other.TokenEndpoint},
			{"registration_endpoint", m.RegistrationEndpoint, other.RegistrationEndpoint},
			{"code_challenge_methods_supported", fmt.Sprint(m.CodeChallengeMethods), fmt.Sprint(other.CodeChallengeMethods)},
			{"client_id_metadata_document_supported", fmt.Sprint(m.ClientDocuments), fmt.Sprint(other.ClientDocuments)},
		} {
			if member.one != member.other {
				p.note(disagree, m.Issuer, fmt.Sprintf("%s is %s in one, and %s in the other, %s", member.name, named(member.one), named(member.other), shown(place)), a)
				break
			}
		}
	}
}
