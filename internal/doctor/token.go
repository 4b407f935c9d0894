package doctor

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

const (
	tokenStep = "token"
	// madeUp stands for codes and tokens that nobody gave out.
	madeUp = "made-up-by-an-examination-of-this-server"
)

// tokenEndpoint asks for tokens with what cannot be good, to see whether a client
// would learn that.
func (p *player) tokenEndpoint(m *provider, c *client, r protected) bool {
	if p.token != "" && p.token != p.o.Token { // a code was redeemed already
		return true
	}
	at := m.TokenEndpoint
	if !p.preflight(tokenStep, at, "POST", "content-type") {
		return false
	}
	a := p.postForm(at, c, p.codeForm(c, r, madeUp))
	if !p.judgeRefusal(c, at, a) || !p.readable(tokenStep, a) {
		return false
	}
	if len(m.GrantTypes) == 0 || slices.Contains(m.GrantTypes, oauth.GrantRefreshToken) {
		a = p.postForm(at, c, url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {madeUp}, "client_id": {c.id}})
		if !p.judgeRefusal(c, at, a) {
			return false
		}
	}
	p.did(tokenStep, "a made-up code is refused as it should be")
	return true
}

func (p *player) codeForm(c *client, r protected, code string) url.Values {
	form := url.Values{
		"grant_type": {oauth.GrantAuthorizationCode}, "code": {code}, "redirect_uri": {c.redirect},
		"client_id": {c.id}, "code_verifier": {p.verifier},
	}
	if r.identifier != "" {
		form.Set("resource", r.identifier)
	}
	return form
}

// postForm sends a form to an endpoint, authenticated as the client is registered.
func (p *player) postForm(at string, c *client, form url.Values) *answer {
	h := p.headers(map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"})
	switch {
	case c.secret == "":
	case c.authMethod == oauth.AuthSecretPost:
		form.Set("client_secret", c.secret)
	case c.authMethod != oauth.AuthNone:
		h["Authorization"] = basic(c.id, c.secret)
		form.Del("client_id")
	}
	return p.wire.do(p.ctx, request{method: http.MethodPost, url: at, body: form.Encode(), header: h})
}

// basic returns client_secret_basic (RFC 6749 section 2.3.1).
func basic(id, secret string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	return r.Header.Get("Authorization")
}

// judgeRefusal judges how a made-up code or refresh token is refused.
func (p *player) judgeRefusal(c *client, at string, a *answer) bool {
	var refusal struct {
		Error string `json:"error"`
	}
	switch {
	case a.silent():
		return p.noAnswer(tokenStep, a)
	case a.json(&refusal) != nil || refusal.Error == "" || a.status != 400 && a.status != 401:
		return p.stop(tokenStep, badTokenEndpoint, at, a.describe(), a)
	case refusal.Error == "invalid_client" && c.document:
		return p.stop(tokenStep, documentRefused, at, a.describe()+", for client_id "+c.id, a)
	case refusal.Error == "invalid_client":
		return p.stop(tokenStep, clientForgotten, at, a.describe(), a)
	case refusal.Error == "unsupported_grant_type":
		p.note(noRefresh, at, a.describe(), a)
	case refusal.Error != "invalid_grant":
		return p.stop(tokenStep, grantError, at, a.describe(), a)
	}
	return true
}

// redeem exchanges a code that was given out without a person. What it gets is
// revoked where that is offered.
func (p *player) redeem(m *provider, c *client, r protected, code string) bool {
	p.wire.secrets = append(p.wire.secrets, code)
	if !p.preflight(tokenStep, m.TokenEndpoint, "POST", "content-type") {
		return false
	}
	a := p.postForm(m.TokenEndpoint, c, p.codeForm(c, r, code))
	var tokens struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		TokenType    string `json:"token_type"`
	}
	switch {
	case a.silent():
		return p.noAnswer(tokenStep, a)
	case !a.is2xx():
		return p.stop(tokenStep, codeRefused, m.TokenEndpoint, a.describe(), a)
	case a.json(&tokens) != nil || tokens.AccessToken == "" || !strings.EqualFold(tokens.TokenType, "Bearer"):
		return p.stop(tokenStep, badTokenEndpoint, m.TokenEndpoint, "no access_token of token_type Bearer", a)
	case !p.readable(tokenStep, a):
		return false
	}
	p.wire.secrets = append(p.wire.secrets, tokens.AccessToken)
	if tokens.RefreshToken != "" {
		p.wire.secrets = append(p.wire.secrets, tokens.RefreshToken)
	}
	if !strings.Contains(strings.ToLower(a.header.Get("Cache-Control")), "no-store") {
		p.note(tokenCached, m.TokenEndpoint, "Cache-Control: "+named(a.header.Get("Cache-Control")), a)
	}
	p.did(tokenStep, fmt.Sprintf("tokens; refresh token: %t", tokens.RefreshToken != ""))
	p.issued = append(p.issued, issued{client: c, access: tokens.AccessToken, refresh: tokens.RefreshToken})
	if p.token == "" {
		p.token = tokens.AccessToken
	}
	return true
}

// issued are tokens that an examination got.
type issued struct {
	client          *client
	access, refresh string
}

// revoke gives tokens back where that is offered (RFC 7009).
func (x *examination) revoke(ctx context.Context) {
	p := &player{examination: x, ctx: ctx}
	for _, t := range x.issued {
		at := t.client.as.RevocationEndpoint
		if at == "" {
			continue
		}
		for _, token := range []string{t.refresh, t.access} {
			if token != "" {
				p.postForm(at, t.client, url.Values{"token": {token}, "client_id": {t.client.id}})
			}
		}
	}
}

func cookieHeader(cookies map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(cookies)) {
		all = append(all, name+"="+cookies[name])
	}
	return strings.Join(all, "; ")
}
