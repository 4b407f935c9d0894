package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// client is what a family is at an authorization server.
type client struct {
	id, secret, authMethod string
	redirect               string
	// document is true if the id is the address of a metadata document.
	document bool
	issuer   string
	// manage is where it can be deleted, with token (RFC 7592).
	manage, token string
	// as is the metadata that it was made with.
	as *provider
}

const registerStep = "registration"

// register makes the family known, in the way that clients prefer:
// configured, with a document, or registered.
func (p *player) register(m *provider) (*client, bool) {
	switch {
	case p.f.registers == byConfig:
		c := &client{id: p.o.ClientID, secret: p.o.ClientSecret, authMethod: oauth.AuthNone, redirect: p.redirect(), issuer: m.Issuer, as: m}
		if c.secret != "" {
			c.authMethod = oauth.AuthSecretPost
			if slices.Contains(m.AuthMethods, oauth.AuthSecretBasic) || len(m.AuthMethods) == 0 {
				c.authMethod = oauth.AuthSecretBasic
			}
		}
		p.did(registerStep, "is configured with "+c.id)
		return c, true
	case p.f.registers == byDocument && bool(m.ClientDocuments):
		c := &client{id: p.f.document, document: true, authMethod: oauth.AuthNone, redirect: p.redirect(), issuer: m.Issuer, as: m}
		if p.o.ClientDocument != "" {
			c.id = p.o.ClientDocument
		}
		p.did(registerStep, "needs none: its client ID is "+c.id)
		return c, true
	case p.f.registers == byDocument && m.RegistrationEndpoint != "":
		p.note(noDocuments, m.place, "client_id_metadata_document_supported is not true", nil)
		if !p.f.hosted {
			return nil, p.leave(NotOffered, registerStep, "documents are not taken; it registers itself, as above")
		}
	case m.RegistrationEndpoint == "" && bool(m.ClientDocuments):
		return nil, p.leave(NotOffered, registerStep, "only clients with a metadata document are taken")
	case m.RegistrationEndpoint == "":
		return nil, p.stop(registerStep, noRegistration, m.place, "neither registration_endpoint nor client_id_metadata_document_supported", nil)
	}
	if p.o.NoRegistration {
		return nil, p.leave(Skipped, registerStep, "no client is to be registered")
	}
	return p.registerDynamically(m)
}

// redirect returns the redirect URI that the family is registered with.
func (p *player) redirect() string {
	if p.o.Redirect != "" && (p.f.registers == byConfig || p.f.registers == byDocument && p.o.ClientDocument != "") {
		return p.o.Redirect
	}
	return p.f.redirect
}

// registerDynamically registers a client (RFC 7591), to be deleted at the end.
func (p *player) registerDynamically(m *provider) (*client, bool) {
	at := m.RegistrationEndpoint
	if !p.preflight(registerStep, at, "POST", "content-type") {
		return nil, false
	}
	metadata := map[string]any{
		"client_name": "MCP examination", "redirect_uris": []string{p.f.redirect}, "response_types": []string{"code"},
		"grant_types":                []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
		"token_endpoint_auth_method": oauth.AuthNone,
	}
	if p.f.revision >= mcp.Stateless {
		metadata["application_type"] = "native"
	}
	body, err := json.Marshal(metadata)
	if err != nil {
		panic(err) // texts cannot fail
	}
	a := p.wire.do(p.ctx, request{method: http.MethodPost, url: at, body: string(body), header: p.headers(map[string]string{
		"Content-Type": "application/json", "Accept": "application/json",
	})})
	switch {
	case a.silent():
		return nil, p.noAnswer(registerStep, a)
	case !a.is2xx():
		return nil, p.stop(registerStep, registrationRefused, at, fmt.Sprintf("%s, for redirect_uris [%s]", a.describe(), p.f.redirect), a)
	}
	c, wrong := p.registered(m, a)
	if wrong != "" {
		return nil, p.stop(registerStep, badRegistration, at, wrong, a)
	}
	if !p.readable(registerStep, a) {
		return nil, false
	}
	if a.status != http.StatusCreated {
		p.note(registrationStatus, at, fmt.Sprint(a.status), a)
	}
	p.did(registerStep, "is registered at "+shown(at))
	return c, true
}

// registered reads the answer to a registration, and remembers the client.
func (p *player) registered(m *provider, a *answer) (c *client, wrong string) {
	var got struct {
		ClientID     string        `json:"client_id"`
		ClientSecret string        `json:"client_secret"`
		AuthMethod   string        `json:"token_endpoint_auth_method"`
		RedirectURIs oauth.Strings `json:"redirect_uris"`
		ClientURI    string        `json:"registration_client_uri"`
		AccessToken  string        `json:"registration_access_token"`
	}
	if err := a.json(&got); err != nil {
		return nil, "no JSON: " + err.Error()
	}
	for _, secret := range []string{got.ClientSecret, got.AccessToken} {
		if secret != "" {
			p.wire.secrets = append(p.wire.secrets, secret)
		}
	}
	if got.ClientID == "" {
		return nil, "client_id is missing"
	}
	c = p.made[got.ClientID]
	if c == nil {
		c = &client{
			id: got.ClientID, secret: got.ClientSecret, authMethod: got.AuthMethod, redirect: p.f.redirect, issuer: m.Issuer,
			manage: got.ClientURI, token: got.AccessToken, as: m,
		}
		p.made[c.id] = c
	}
	if len(got.RedirectURIs) > 0 && !slices.Contains(got.RedirectURIs, p.f.redirect) {
		return nil, fmt.Sprintf("redirect_uris are %v, and were asked for as [%s]", got.RedirectURIs, p.f.redirect)
	}
	return c, ""
}

// takeBack deletes the clients that were registered, where that is offered.
func (x *examination) takeBack(ctx context.Context) {
	for _, c := range x.made {
		r := Registration{ClientID: said(c.id), Issuer: said(c.issuer)}
		switch {
		case c.manage == "" || c.token == "":
			r.Left = "the authorization server does not offer to delete it (RFC 7592)"
		case !x.mayDelete(c):
			r.Left = "it would have to be deleted at an address that is not the authorization server's: " + shown(c.manage)
		default:
			a := x.wire.do(ctx, request{method: http.MethodDelete, url: c.manage, header: map[string]string{"Authorization": "Bearer " + c.token}})
			if r.Deleted = a.is2xx(); !r.Deleted {
				r.Left = "deleting it was answered " + said(a.describe())
				x.find(notDeleted, c.as.RegistrationEndpoint, "DELETE at registration_client_uri: "+a.describe(), a)
			}
		}
		x.report.Registrations = append(x.report.Registrations, r)
	}
	slices.SortFunc(x.report.Registrations, func(a, b Registration) int { return strings.Compare(a.ClientID, b.ClientID) })
}

// mayDelete reports whether the token that came with a registration goes back
// to whom it came from.
func (x *examination) mayDelete(c *client) bool {
	to, err := url.Parse(c.manage)
	from, err2 := url.Parse(c.as.RegistrationEndpoint)
	return err == nil && err2 == nil && x.target.checkAddress(c.manage) == nil && origin(to) == origin(from)
}
