package caddymodule

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"testing"
)

var hiddenField = regexp.MustCompile(`name="(flow_id|csrf_token|identity|resource)"[^>]*value="([^"]*)"`)

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
	browser := g.browser
	if browser == nil {
		jar, _ := cookiejar.New(nil)
		if g.browse == nil {
			g.browse = once
		}
		browser = &http.Client{Jar: jar, Transport: g.browse, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if r.URL.Host != g.addr {
				return http.ErrUseLastResponse
			}
			return nil
		}}
	}
	identify := fields(g.page(browser.Get(authorize)))
	maps.Copy(identify, g.typed)
	submit := fields(g.page(browser.PostForm(g.url+"/api/oauth/per-user/consent/"+cmp.Or(g.identity, "skip"), identify)))
	for _, server := range g.connects {
		submit.Set("server", server)
		submit = fields(g.page(browser.PostForm(g.url+"/api/oauth/per-user/upstream/authorize", submit)))
	}
	submit.Set("decision", "approve")
	res, err := browser.PostForm(g.url+"/api/oauth/per-user/consent/submit", submit)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	to, err := res.Location()
	if err != nil {
		g.t.Fatalf("no redirect to the client: %v, status %d", err, res.StatusCode)
	}
	return to
}

func (g *instance) page(res *http.Response, err error) string {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body := status(g.t, res, http.StatusOK)
	g.pages += body
	return body
}

func fields(page string) url.Values {
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(page, -1) {
		form.Set(m[1], m[2])
	}
	return form
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
