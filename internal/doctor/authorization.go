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

// signIn is how a family signs in as a client at an authorization server: up to
// where a person would go on, and what the token endpoint answers.
type signIn struct {
	*player
	provider *provider
	client   *client
	resource protected
}

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
func (s *signIn) authorize() bool {
	params := s.request()
	s.used = append(s.used, s.client)
	e := s.browse(params)
	if e.last.silent() && e.last.request.url == s.authorizeURL(params) {
		return s.noAnswer(authorizeStep, e.last)
	}
	if e.response != nil && !s.judgeResponse(e) {
		return false
	}
	if !e.goesOn() {
		return s.refused(params, e)
	}
	if e.code() != "" {
		s.note(noPersonAsked, s.provider.AuthorizationEndpoint, "a code for a browser that nobody used before", e.last)
		s.did(authorizeStep, "a code, without a person")
		return s.redeem(e.code())
	}
	s.judgePage(e)
	if e.elsewhere != "" {
		s.did(authorizeStep, "the person goes on at "+e.elsewhere)
	} else {
		s.did(authorizeStep, "a page for the person")
	}
	s.otherPort(params)
	return true
}

// request is what a client of the family asks.
func (s *signIn) request() url.Values {
	params := url.Values{
		"response_type": {"code"}, "client_id": {s.client.id}, "redirect_uri": {s.client.redirect}, "state": {s.state},
		"code_challenge": {oauth.CodeChallenge(s.verifier)}, "code_challenge_method": {oauth.MethodS256},
	}
	if s.f.revision != march2025 {
		params.Set("resource", s.resource.identifier)
	}
	if len(s.resource.scopes) > 0 {
		params.Set("scope", strings.Join(s.resource.scopes, " "))
	}
	return params
}

// refused finds out what of a request was refused, by leaving it out.
func (s *signIn) refused(params url.Values, e ending) bool {
	at, seen := s.provider.AuthorizationEndpoint, e.describe()
	if without := s.browse(without(params, "resource")); params.Has("resource") && without.goesOn() {
		return s.stop(authorizeStep, resourceRefused, at, seen+"; without resource it goes on", e.last)
	}
	if without := s.browse(without(params, "scope")); params.Has("scope") && without.goesOn() {
		return s.stop(authorizeStep, scopeRefused, at, seen+"; without scope "+params.Get("scope")+" it goes on", e.last)
	}
	if !s.client.document || s.has(authorizeRefused, at) {
		return s.stop(authorizeStep, authorizeRefused, at, seen, e.last)
	}
	listed := with(params, "redirect_uri", withPort(s.client.redirect, ""))
	if listed.Get("redirect_uri") != params.Get("redirect_uri") && s.browse(listed).goesOn() {
		return s.stop(authorizeStep, loopbackPort, at, seen+" with a port; the document has none, and without one it goes on", e.last)
	}
	return s.stop(authorizeStep, documentRefused, at, seen+", for client_id "+s.client.id, e.last)
}

// otherPort asks with another port of this machine than the one registered, as
// an application does at its next start.
func (s *signIn) otherPort(params url.Values) {
	other := withPort(s.client.redirect, otherPort)
	if other == s.client.redirect || s.client.document {
		return
	}
	if e := s.browse(with(params, "redirect_uri", other)); !e.goesOn() && !e.last.silent() {
		s.note(loopbackPort, s.provider.AuthorizationEndpoint, fmt.Sprintf("registered with %s; with port %s %s", s.client.redirect, otherPort, e.describe()), e.last)
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
func (s *signIn) judgeResponse(e ending) bool {
	at, iss := s.provider.AuthorizationEndpoint, e.response["iss"]
	switch {
	case e.response.Get("state") != s.state || len(e.response["state"]) > 1:
		return s.stop(authorizeStep, stateLost, at, e.describe()+", state is another", e.last)
	case len(iss) == 0 && bool(s.provider.AuthorizationResponseIss):
		if s.f.revision < mcp.Stateless {
			s.note(issMissing, at, e.describe()+", without iss", e.last)
			return true
		}
		return s.stop(authorizeStep, issMissing, at, e.describe()+", without iss", e.last)
	case len(iss) > 0 && (iss[0] != s.provider.Issuer || len(iss) > 1):
		return s.stop(authorizeStep, issWrong, at, fmt.Sprintf("iss is %s, issuer is %s", said(iss[0]), s.provider.Issuer), e.last)
	case len(iss) > 0 && !bool(s.provider.AuthorizationResponseIss):
		s.note(issNotAnnounced, s.provider.place, "an authorization response has iss", e.last)
	}
	return true
}

// judgePage judges the page on which a person would go on.
func (s *signIn) judgePage(e ending) {
	if e.elsewhere != "" || egress.MediaType(e.last.header) != "text/html" {
		return
	}
	policy := strings.ToLower(strings.Join(e.last.header.Values("Content-Security-Policy"), ";"))
	if !strings.Contains(policy, "frame-ancestors") && e.last.header.Get("X-Frame-Options") == "" {
		s.note(pageFramed, s.provider.AuthorizationEndpoint, "the page has neither frame-ancestors nor X-Frame-Options", e.last)
	}
}

func (s *signIn) authorizeURL(params url.Values) string {
	separator := "?"
	if strings.Contains(s.provider.AuthorizationEndpoint, "?") {
		separator = "&"
	}
	return s.provider.AuthorizationEndpoint + separator + params.Encode()
}

const maxHops = 8

// browse follows an authorization request as a browser does, up to a page, the
// client, or another site: what is there is not ours to examine.
func (s *signIn) browse(params url.Values) ending {
	at := s.authorizeURL(params)
	cookies := map[string]string{}
	var e ending
	for range maxHops {
		h := map[string]string{
			"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site",
		}
		if len(cookies) > 0 {
			h["Cookie"] = cookieHeader(cookies)
		}
		e.last = s.wire.do(s.ctx, request{method: http.MethodGet, url: at, header: h})
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
