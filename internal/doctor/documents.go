package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// verdict on one place where a document could be.
type verdict int

const (
	absent verdict = iota
	present
	unusable // and the client was stopped
)

const maxRedirects = 3

// document gets a metadata document. Pages in browsers leave out the header with
// the revision where a preflight request would be refused, so none is made.
func (p *player) document(step, place string) (*answer, verdict) {
	a := p.get(place)
	for range maxRedirects {
		to, ok := a.location()
		if !ok || p.target.checkAddress(to.String()) != nil {
			break
		}
		a = p.get(to.String())
	}
	first := p.get(place)
	switch {
	case a.silent():
		p.noAnswer(step, a)
	case a.status == 401 || a.status == 403 || first.is3xx() && !isJSONObject(a):
		p.stop(step, blocked, place, first.describe(), first)
	case !a.is2xx():
		return a, absent
	case !isJSONObject(a):
		p.stop(step, notJSON, place, a.describe(), a)
	case !p.readable(step, first):
	default:
		if first.is3xx() {
			p.note(discoveryRedirected, place, first.describe(), first)
		}
		if kind := egress.MediaType(a.header); kind != "application/json" {
			p.note(mediaType, place, "Content-Type: "+named(kind), a)
		}
		return a, present
	}
	return a, unusable
}

func (p *player) get(place string) *answer {
	return p.wire.do(p.ctx, request{method: http.MethodGet, url: place, header: p.headers(map[string]string{
		"Accept": "application/json", mcp.HeaderProtocolVersion: p.f.revision,
	})})
}

func isJSONObject(a *answer) bool {
	var object map[string]any
	return a.is2xx() && a.json(&object) == nil && object != nil
}

func isPrivate(err error) bool { return errors.Is(err, errPrivateAddress) }

// protected is what a client knows of the resource.
type protected struct {
	identifier string
	issuer     string
	scopes     []string
}

const resourceStep = "resource metadata"

// resource reads the resource metadata (RFC 9728).
func (p *player) resource(first opening) (protected, bool) {
	if p.f.revision == march2025 {
		return protected{issuer: p.target.origin(), scopes: first.scopes}, true
	}
	places := p.wellKnown()
	if first.metadata != "" {
		places = []string{first.metadata}
	}
	for _, place := range places {
		a, v := p.document(resourceStep, place)
		switch v {
		case unusable:
			return protected{}, false
		case present:
			return p.judgeResource(first, place, a)
		}
	}
	if first.metadata != "" {
		return protected{}, p.stop(resourceStep, deadMetadataURL, first.metadata, p.get(first.metadata).describe(), p.get(first.metadata))
	}
	p.report.SignIn = cmp.Or(p.report.SignIn, "unknown")
	return protected{}, p.stop(resourceStep, noResourceMetadata, places[0], p.get(places[0]).describe(), p.get(places[0]))
}

// wellKnown are the places of resource metadata that no challenge named.
func (p *player) wellKnown() []string {
	root := p.target.origin() + oauth.ProtectedResourcePath
	return slices.Compact([]string{root + strings.TrimSuffix(p.target.EscapedPath(), "/"), root})
}

func (p *player) judgeResource(first opening, place string, a *answer) (protected, bool) {
	var m oauth.ResourceMetadata
	if err := a.json(&m); err != nil {
		return protected{}, p.stop(resourceStep, notJSON, place, err.Error(), a)
	}
	if difference := p.target.differs(m.Resource); difference != "" {
		p.report.hints.resource, p.report.SignIn = m.Resource, "oauth"
		if len(m.AuthorizationServers) > 0 {
			p.report.hints.issuer = m.AuthorizationServers[0]
		}
		return protected{}, p.stop(resourceStep, resourceMismatch, place, difference, a)
	}
	if len(m.AuthorizationServers) == 0 {
		return protected{}, p.stop(resourceStep, noAuthorizationServer, place, "authorization_servers is missing or empty", a)
	}
	issuer := m.AuthorizationServers[0]
	if err := p.target.checkIssuer(issuer); err != nil {
		return protected{}, p.stop(resourceStep, badIssuer, place, fmt.Sprintf("authorization_servers has %q: %v", issuer, err), a)
	}
	if slices.Contains(m.ScopesSupported, oauth.OfflineAccess) {
		p.note(offlineAccess, place, "scopes_supported has offline_access", a)
	}
	p.did(resourceStep, shown(place)+" names "+issuer)
	scopes := first.scopes
	if len(scopes) == 0 {
		scopes = m.ScopesSupported.Scopes()
	}
	return protected{identifier: m.Resource, issuer: issuer, scopes: scopes}, true
}

// headers adds what a family sends with each request that a program makes.
func (p *player) headers(h map[string]string) map[string]string {
	if p.f.origin != "" {
		h["Origin"] = p.f.origin
	}
	return h
}
