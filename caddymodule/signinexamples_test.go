package caddymodule

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// serveExample serves an example for mcp.example.com, with other addresses in
// place of those that it has, given in pairs.
func serveExample(t *testing.T, example string, pairs ...string) *instance {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", example))
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:9/mcp")
	global, _, _ := strings.Cut(g.caddyfile(""), "http://"+g.addr)
	pairs = append(pairs, "mcp.example.com {\n\tmcp_oauth {\n",
		fmt.Sprintf("http://%s {\n\tbind 127.0.0.1\n\theader X-Loaded %d\n\tmcp_oauth {\n\t\tinsecure_allow_loopback\n", g.addr, g.written))
	site := strings.NewReplacer(pairs...).Replace(string(text))
	g.load(global + site)
	return g
}

// signInAt takes a person from a client's link to the page on which they decide,
// by way of the identity provider. Where they are not let in, it returns the page
// that says so.
func (p *person) signInAt(path string) (page *oauthtest.Page, redeem url.Values) {
	p.g.t.Helper()
	link, redeem := p.g.request(path)
	page = p.visit(link)
	if form := oidcForm.FindString(page.Body); form != "" {
		page = p.browser.Submit(p.g.t, page, form, nil)
	}
	return page, redeem
}

// oidcForm is where the button of an identity provider goes.
var oidcForm = regexp.MustCompile(`/api/oauth/per-user/consent/oidc-[A-Za-z0-9.-]+`)

// request registers a client, and returns its authorization request and the form
// that redeems the code.
func (g *instance) request(path string) (link string, redeem url.Values) {
	g.t.Helper()
	body := status(g.t, g.call("POST", "/api/oauth/per-user/register",
		`{"client_name":"client","redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`,
		"Content-Type", "application/json", "Authorization", ""), http.StatusCreated)
	id := regexp.MustCompile(`"client_id":"([^"]+)"`).FindStringSubmatch(body)[1]
	const verifier = "a-verifier-of-at-least-forty-three-characters-x"
	challenge := sha256.Sum256([]byte(verifier))
	link = g.url + "/api/oauth/per-user/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {id}, "redirect_uri": {"http://127.0.0.1:7777/cb"}, "state": {"state"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"}, "resource": {g.url + path},
	}.Encode()
	return link, url.Values{"grant_type": {"authorization_code"}, "client_id": {id}, "code_verifier": {verifier}, "resource": {g.url + path}}
}

const submitPath = "/api/oauth/per-user/consent/submit"

// allow approves on the page on which a person decides, and returns the access
// token.
func (p *person) allow(page *oauthtest.Page, redeem url.Values) string {
	p.g.t.Helper()
	done := p.browser.Submit(p.g.t, page, submitPath, url.Values{"decision": {"approve"}})
	if done.Leaving == nil {
		p.g.t.Fatalf("%s is not sent back to the client (%d): %s", p.name, done.Status, done.Text())
	}
	redeem.Set("code", done.Leaving.Query().Get("code"))
	return accessToken(p.g.t, status(p.g.t, p.g.call("POST", "/api/oauth/per-user/token", redeem.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), http.StatusOK))
}

// Each example of examples/sign-in, with the provider that it is for: who is in
// the company is let in, and engineers only where the example says so.
func TestSignInExamples(t *testing.T) {
	shapes := map[string]string{"okta": "okta-org", "okta-custom-server": "okta-custom", "keycloak-roles": "keycloak"}
	files, err := filepath.Glob("../examples/sign-in/*.caddyfile")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".caddyfile")
		t.Run(name, func(t *testing.T) {
			shape := name
			if other, ok := shapes[name]; ok {
				shape = other
			}
			provider := oauthtest.NewOIDCProvider(t, shape)
			t.Setenv("OIDC_CLIENT_ID", provider.ClientID)
			t.Setenv("OIDC_CLIENT_SECRET", provider.ClientSecret)
			up := oauthtest.Serve(t, nil)
			pairs := []string{"http://127.0.0.1:3001", up.URL, "http://127.0.0.1:3002", up.URL}
			for from, to := range provider.Moved {
				pairs = append(pairs, from, to)
			}
			g := serveExample(t, filepath.Join("sign-in", filepath.Base(file)), pairs...)

			ada, bea, eve := g.person("ada"), g.person("bea"), g.person("eve")
			for path, who := range map[string][]*person{"/wiki/mcp": {ada, bea}, "/deploy/mcp": {ada}} {
				for _, p := range who {
					page, redeem := p.signInAt(path)
					token := p.allow(page, redeem)
					status(t, g.call("POST", path, toolCall, "Authorization", "Bearer "+token, "Content-Type", "application/json"), http.StatusOK)
				}
			}
			page, _ := bea.signInAt("/deploy/mcp")
			page.MustShow(t, "Go on as somebody who may")
			page, _ = eve.signInAt("/wiki/mcp")
			page.MustShow(t, "does not let you in", "Error reference")
			if n := len(provider.Requests(t, "token_endpoint")); n < 3 {
				t.Errorf("%d requests for tokens", n)
			}
		})
	}
}
