package caddymodule

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// signIn registers a client and signs in as nobody in particular. It returns
// the answer of the token endpoint.
func (g *instance) signIn(clientName string, resource string) string {
	g.t.Helper()
	return status(g.t, g.call("POST", "/api/oauth/per-user/token", g.approved(clientName, resource).Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), http.StatusOK)
}

// approved registers a client and lets a browser approve it. It returns the
// form that fetches the tokens.
func (g *instance) approved(clientName string, resource string) url.Values {
	g.t.Helper()
	body := status(g.t, g.call("POST", "/api/oauth/per-user/register",
		fmt.Sprintf(`{"client_name":%q,"redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`, clientName),
		"Content-Type", "application/json"), http.StatusCreated)
	id := regexp.MustCompile(`"client_id":"([^"]+)"`).FindStringSubmatch(body)[1]
	g.client = id
	const verifier = "a-verifier-of-at-least-forty-three-characters-x"
	challenge := sha256.Sum256([]byte(verifier))
	to := g.approve(g.url + "/api/oauth/per-user/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {id}, "redirect_uri": {"http://127.0.0.1:7777/cb"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
		"state": {"state-canary"}, "resource": {resource},
	}.Encode())
	g.code = to.Query().Get("code")
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {g.code}, "client_id": {id},
		"code_verifier": {verifier}, "resource": {resource},
	}
}

// approve walks a browser through the pages and returns where it leads to the
// client.
func (g *instance) approve(authorize string) *url.URL {
	g.t.Helper()
	if g.authorize != nil {
		g.authorize(authorize)
		return new(url.URL)
	}
	browser := g.browser
	if browser == nil {
		browser = oauthtest.NewBrowser(g.t)
		if g.browse == nil {
			g.browse = once
		}
		browser.Client.Transport = g.browse
	}
	page := g.read(g.page(browser.Open(g.t, authorize)))
	if g.identity != "elsewhere" {
		page = g.read(g.page(browser.Submit(g.t, page, "/api/oauth/per-user/consent/"+cmp.Or(g.identity, "skip"), g.typed)))
	}
	for _, server := range g.connects {
		page = g.read(g.page(browser.Submit(g.t, page, "/api/oauth/per-user/upstream/authorize", url.Values{"server": {server}})))
	}
	done := browser.Submit(g.t, page, "/api/oauth/per-user/consent/submit", url.Values{"decision": {"approve"}})
	if done.Leaving == nil {
		g.t.Fatalf("status %d, want a redirect to the client: %s", done.Status, done.Text())
	}
	return done.Leaving
}

// page returns what a page of the site shows, as HTML.
func (g *instance) page(p *oauthtest.Page) string {
	g.t.Helper()
	if p.Status != http.StatusOK {
		g.t.Errorf("%s: status %d, want 200: %s", p.URL, p.Status, p.Body)
	}
	g.pages += p.Body
	return p.Body
}

// read returns a page of the site.
func (g *instance) read(page string) *oauthtest.Page {
	g.t.Helper()
	site, err := url.Parse(g.url)
	if err != nil {
		g.t.Fatal(err)
	}
	return oauthtest.ReadPage(g.t, site, page)
}

// accessToken returns the access token of a token response.
func accessToken(t *testing.T, answer string) string {
	t.Helper()
	m := regexp.MustCompile(`"access_token":"([^"]+)"`).FindStringSubmatch(answer)
	if m == nil {
		t.Fatalf("no access token in %s", answer)
	}
	return m[1]
}

// revoke revokes a token in the name of the client that signed in last.
func (g *instance) revoke(token string) {
	g.t.Helper()
	status(g.t, g.call("POST", "/api/oauth/per-user/revoke", url.Values{"token": {token}, "client_id": {g.client}}.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), http.StatusOK)
}
