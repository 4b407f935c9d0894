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
func (s *signIn) tokenEndpoint() bool {
	if s.token != "" && s.token != s.o.Token { // a code was redeemed already
		return true
	}
	at := s.provider.TokenEndpoint
	if !s.preflight(tokenStep, at, "POST", "content-type") {
		return false
	}
	a := s.postForm(at, s.codeForm(madeUp))
	if !s.judgeRefusal(at, a) || !s.readable(tokenStep, a) {
		return false
	}
	if len(s.provider.GrantTypes) == 0 || slices.Contains(s.provider.GrantTypes, oauth.GrantRefreshToken) {
		a = s.postForm(at, url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {madeUp}, "client_id": {s.client.id}})
		if !s.judgeRefusal(at, a) {
			return false
		}
	}
	s.did(tokenStep, "a made-up code is refused as it should be")
	return true
}

func (s *signIn) codeForm(code string) url.Values {
	form := url.Values{
		"grant_type": {oauth.GrantAuthorizationCode}, "code": {code}, "redirect_uri": {s.client.redirect},
		"client_id": {s.client.id}, "code_verifier": {s.verifier},
	}
	if s.resource.identifier != "" {
		form.Set("resource", s.resource.identifier)
	}
	return form
}

// postForm sends a form to an endpoint, authenticated as the client is registered.
func (s *signIn) postForm(at string, form url.Values) *answer {
	h := s.headers(map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"})
	switch {
	case s.client.secret == "":
	case s.client.authMethod == oauth.AuthSecretPost:
		form.Set("client_secret", s.client.secret)
	case s.client.authMethod != oauth.AuthNone:
		h["Authorization"] = basic(s.client.id, s.client.secret)
		form.Del("client_id")
	}
	return s.wire.do(s.ctx, request{method: http.MethodPost, url: at, body: form.Encode(), header: h})
}

// basic returns client_secret_basic (RFC 6749 section 2.3.1).
func basic(id, secret string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	return r.Header.Get("Authorization")
}

// judgeRefusal judges how a made-up code or refresh token is refused.
func (s *signIn) judgeRefusal(at string, a *answer) bool {
	var refusal struct {
		Error string `json:"error"`
	}
	switch {
	case a.silent():
		return s.noAnswer(tokenStep, a)
	case a.json(&refusal) != nil || refusal.Error == "" || a.status != 400 && a.status != 401:
		return s.stop(tokenStep, badTokenEndpoint, at, a.describe(), a)
	case refusal.Error == "invalid_client" && s.client.document:
		return s.stop(tokenStep, documentRefused, at, a.describe()+", for client_id "+s.client.id, a)
	case refusal.Error == "invalid_client":
		return s.stop(tokenStep, clientForgotten, at, a.describe(), a)
	case refusal.Error == "unsupported_grant_type":
		s.note(noRefresh, at, a.describe(), a)
	case refusal.Error != "invalid_grant":
		return s.stop(tokenStep, grantError, at, a.describe(), a)
	}
	return true
}

// redeem exchanges a code that was given out without a person. What it gets is
// revoked where that is offered.
func (s *signIn) redeem(code string) bool {
	s.wire.secrets = append(s.wire.secrets, code)
	if !s.preflight(tokenStep, s.provider.TokenEndpoint, "POST", "content-type") {
		return false
	}
	a := s.postForm(s.provider.TokenEndpoint, s.codeForm(code))
	var tokens struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		TokenType    string `json:"token_type"`
	}
	switch {
	case a.silent():
		return s.noAnswer(tokenStep, a)
	case !a.is2xx():
		return s.stop(tokenStep, codeRefused, s.provider.TokenEndpoint, a.describe(), a)
	case a.json(&tokens) != nil || tokens.AccessToken == "" || !strings.EqualFold(tokens.TokenType, "Bearer"):
		return s.stop(tokenStep, badTokenEndpoint, s.provider.TokenEndpoint, "no access_token of token_type Bearer", a)
	case !s.readable(tokenStep, a):
		return false
	}
	s.wire.secrets = append(s.wire.secrets, tokens.AccessToken)
	if tokens.RefreshToken != "" {
		s.wire.secrets = append(s.wire.secrets, tokens.RefreshToken)
	}
	if !strings.Contains(strings.ToLower(a.header.Get("Cache-Control")), "no-store") {
		s.note(tokenCached, s.provider.TokenEndpoint, "Cache-Control: "+named(a.header.Get("Cache-Control")), a)
	}
	s.did(tokenStep, fmt.Sprintf("tokens; refresh token: %t", tokens.RefreshToken != ""))
	s.issued = append(s.issued, issued{client: s.client, access: tokens.AccessToken, refresh: tokens.RefreshToken})
	if s.token == "" {
		s.token = tokens.AccessToken
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
	for _, t := range x.issued {
		s := &signIn{player: &player{examination: x, ctx: ctx}, client: t.client}
		at := t.client.as.RevocationEndpoint
		if at == "" {
			continue
		}
		for _, token := range []string{t.refresh, t.access} {
			if token != "" {
				s.postForm(at, url.Values{"token": {token}, "client_id": {t.client.id}})
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
