package doctor

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

const authorizeStep = "authorization"

// ending is how an authorization request ends without a person.
type ending struct {
	last *answer
	// page is true if a person is asked: by a page, or at another site.
	page bool
	// response are the parameters that the client got, if it got some.
	response url.Values
	// elsewhere is the site that the browser was handed over to.
	elsewhere string
	// refusal is the error that the authorization server shows on a page of its own.
	refusal string
}

func (e ending) code() string { return e.response.Get("code") }

// goesOn reports whether nothing was refused.
func (e ending) goesOn() bool { return e.page || e.code() != "" }

func (e ending) describe() string {
	if e.response != nil {
		return "sent back with error " + said(named(e.response.Get("error")))
	}
	if e.refusal != "" {
		return "sent to a page with error " + said(e.refusal)
	}
	return e.last.describe()
}

// authorize sends a browser to the authorization endpoint.
func (p *player) authorize(m *provider, c *client, r protected) bool {
	params := p.authorizationRequest(c, r)
	p.used = append(p.used, c)
	e := p.browse(m, params)
	if e.last.silent() && e.last.request.url == authorizeURL(m, params) {
		return p.noAnswer(authorizeStep, e.last)
	}
	if e.response != nil && !p.judgeResponse(m, e) {
		return false
	}
	if !e.goesOn() {
		return p.refused(m, c, params, e)
	}
	if e.code() != "" {
		p.note(noPersonAsked, m.AuthorizationEndpoint, "a code for a browser that nobody used before", e.last)
		p.did(authorizeStep, "a code, without a person")
		return p.redeem(m, c, r, e.code())
	}
	p.judgePage(m, e)
	if e.elsewhere != "" {
		p.did(authorizeStep, "the person goes on at "+e.elsewhere)
	} else {
		p.did(authorizeStep, "a page for the person")
	}
	p.otherPort(m, c, params)
	return true
}

// authorizationRequest is what a client of the family asks.
func (p *player) authorizationRequest(c *client, r protected) url.Values {
	params := url.Values{
		"response_type": {"code"}, "client_id": {c.id}, "redirect_uri": {c.redirect}, "state": {p.state},
		"code_challenge": {oauth.CodeChallenge(p.verifier)}, "code_challenge_method": {oauth.MethodS256},
	}
	if p.f.revision != march2025 {
		params.Set("resource", r.identifier)
	}
	if len(r.scopes) > 0 {
		params.Set("scope", strings.Join(r.scopes, " "))
	}
	return params
}

// refused finds out what of a request was refused, by leaving it out.
func (p *player) refused(m *provider, c *client, params url.Values, e ending) bool {
	at, seen := m.AuthorizationEndpoint, e.describe()
	if without := p.browse(m, without(params, "resource")); params.Has("resource") && without.goesOn() {
		return p.stop(authorizeStep, resourceRefused, at, seen+"; without resource it goes on", e.last)
	}
	if without := p.browse(m, without(params, "scope")); params.Has("scope") && without.goesOn() {
		return p.stop(authorizeStep, scopeRefused, at, seen+"; without scope "+params.Get("scope")+" it goes on", e.last)
	}
	if !c.document || p.has(authorizeRefused, at) {
		return p.stop(authorizeStep, authorizeRefused, at, seen, e.last)
	}
	listed := with(params, "redirect_uri", withPort(c.redirect, ""))
	if listed.Get("redirect_uri") != params.Get("redirect_uri") && p.browse(m, listed).goesOn() {
		return p.stop(authorizeStep, loopbackPort, at, seen+" with a port; the document has none, and without one it goes on", e.last)
	}
	return p.stop(authorizeStep, documentRefused, at, seen+", for client_id "+c.id, e.last)
}

// otherPort asks with another port of this machine than the one registered, as
// an application does at its next start.
func (p *player) otherPort(m *provider, c *client, params url.Values) {
	other := withPort(c.redirect, otherPort)
	if other == c.redirect || c.document {
		return
	}
	if e := p.browse(m, with(params, "redirect_uri", other)); !e.goesOn() && !e.last.silent() {
		p.note(loopbackPort, m.AuthorizationEndpoint, fmt.Sprintf("registered with %s; with port %s %s", c.redirect, otherPort, e.describe()), e.last)
	}
}

// withPort returns a redirect URI on loopback with another port, and any other
// as it is.
func withPort(redirect, port string) string {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || !oauth.IsLoopbackHost(u.Hostname()) {
		return redirect
	}
	u.Host = u.Hostname()
	if port != "" {
		u.Host += ":" + port
	}
	return u.String()
}

func with(params url.Values, name, value string) url.Values {
	changed := without(params, name)
	changed.Set(name, value)
	return changed
}

func without(params url.Values, name string) url.Values {
	changed := url.Values{}
	for key, values := range params {
		if key != name {
			changed[key] = values
		}
	}
	return changed
}

// judgeResponse judges an authorization response: what a client has to check
// before it does anything with it.
func (p *player) judgeResponse(m *provider, e ending) bool {
	at, iss := m.AuthorizationEndpoint, e.response["iss"]
	switch {
	case e.response.Get("state") != p.state || len(e.response["state"]) > 1:
		return p.stop(authorizeStep, stateLost, at, e.describe()+", state is another", e.last)
	case len(iss) == 0 && bool(m.AuthorizationResponseIss):
		if p.f.revision < mcp.Stateless {
			p.note(issMissing, at, e.describe()+", without iss", e.last)
			return true
		}
		return p.stop(authorizeStep, issMissing, at, e.describe()+", without iss", e.last)
	case len(iss) > 0 && (iss[0] != m.Issuer || len(iss) > 1):
		return p.stop(authorizeStep, issWrong, at, fmt.Sprintf("iss is %s, issuer is %s", said(iss[0]), m.Issuer), e.last)
	case len(iss) > 0 && !bool(m.AuthorizationResponseIss):
		p.note(issNotAnnounced, m.place, "an authorization response has iss", e.last)
	}
	return true
}

// judgePage judges the page on which a person would go on.
func (p *player) judgePage(m *provider, e ending) {
	if e.elsewhere != "" || egress.MediaType(e.last.header) != "text/html" {
		return
	}
	policy := strings.ToLower(strings.Join(e.last.header.Values("Content-Security-Policy"), ";"))
	if !strings.Contains(policy, "frame-ancestors") && e.last.header.Get("X-Frame-Options") == "" {
		p.note(pageFramed, m.AuthorizationEndpoint, "the page has neither frame-ancestors nor X-Frame-Options", e.last)
	}
}

func authorizeURL(m *provider, params url.Values) string {
	separator := "?"
	if strings.Contains(m.AuthorizationEndpoint, "?") {
		separator = "&"
	}
	return m.AuthorizationEndpoint + separator + params.Encode()
}

const maxHops = 8

// browse follows an authorization request as a browser does, up to a page, the
// client, or another site: what is there is not ours to examine.
func (p *player) browse(m *provider, params url.Values) ending {
	at := authorizeURL(m, params)
	cookies := map[string]string{}
	var e ending
	for range maxHops {
		h := map[string]string{
			"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site",
		}
		if len(cookies) > 0 {
			h["Cookie"] = cookieHeader(cookies)
		}
		e.last = p.wire.do(p.ctx, request{method: http.MethodGet, url: at, header: h})
		for _, c := range (&http.Response{Header: e.last.header}).Cookies() {
			cookies[c.Name] = c.Value
		}
		to, ok := e.last.location()
		if !ok {
			e.page = e.refusal == "" && (e.last.is2xx() || e.last.status == 401)
			return e
		}
		if reaches(to, params.Get("redirect_uri")) {
			e.response = to.Query()
			return e
		}
		if here, err := url.Parse(at); err != nil || origin(here) != origin(to) {
			e.page, e.elsewhere = true, said(origin(to))
			return e
		}
		at, e.refusal = to.String(), to.Query().Get("error")
	}
	return e
}

// reaches reports whether a redirect goes to the redirect URI.
func reaches(to *url.URL, redirect string) bool {
	u, err := url.Parse(redirect)
	return err == nil && u.Scheme == to.Scheme && u.Host == to.Host && u.Path == to.Path
}
