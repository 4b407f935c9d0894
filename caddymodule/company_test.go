package caddymodule

import (
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// examples/company.caddyfile with Entra, Notion and GitHub as they are on the
// wire: what each group may use, and whose account a call uses.
func TestCompany(t *testing.T) {
	text, err := os.ReadFile("../examples/company.caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return line == "" || strings.HasPrefix(line, "#") })
	if len(lines) > 40 {
		t.Errorf("%d lines without comments, want at most 40", len(lines))
	}
	entra, notion, github, wiki := oauthtest.NewOIDCProvider(t, "entra"), newService(t), newService(t), oauthtest.Serve(t, nil)
	for name, value := range map[string]string{
		"OIDC_CLIENT_ID": entra.ClientID, "OIDC_CLIENT_SECRET": entra.ClientSecret, "GITHUB_CLIENT_ID": "Iv1.github", "GITHUB_CLIENT_SECRET": "secret-of-github",
	} {
		t.Setenv(name, value)
	}
	pairs := []string{
		"http://127.0.0.1:3001", wiki.URL, "https://mcp.notion.com", notion.URL, "https://api.githubcopilot.com/mcp/", github.URL + "/mcp",
		"https://github.com/login/oauth/authorize", github.provider.URL + oauthtest.AuthorizePath,
		"https://github.com/login/oauth/access_token", github.provider.URL + oauthtest.TokenPath,
	}
	for from, to := range entra.Moved {
		pairs = append(pairs, from, to)
	}
	g := serveExample(t, "company.caddyfile", pairs...)

	for _, tt := range []struct {
		who  string
		uses []string // of wiki, notion and github
		told string   // where they may not
	}{
		{"ada", []string{"wiki", "notion", "github"}, ""},                    // staff and engineering
		{"bea", []string{"wiki", "notion"}, "Go on as somebody who may"},     // staff
		{"lin", nil, "in more groups than Example Inc. puts into a sign-in"}, // in more groups than Entra tells
		{"eve", nil, "does not let you in with that account"},                // a guest, with Ada's address
	} {
		for _, server := range []string{"wiki", "notion", "github"} {
			t.Run(tt.who+" "+server, func(t *testing.T) {
				p, path := g.person(tt.who), "/"+server+"/mcp"
				page, redeem := p.signInAt(path)
				if !slices.Contains(tt.uses, server) {
					page.MustShow(t, tt.told)
					return
				}
				if server != "wiki" {
					page = p.browser.Submit(t, page, "/api/oauth/per-user/upstream/authorize", url.Values{"server": {server}})
				}
				answer := status(t, g.call("POST", path, toolCall, "Authorization", "Bearer "+p.allow(page, redeem), "Content-Type", "application/json"), http.StatusOK)
				if want := `"account":"` + tt.who + `"`; server != "wiki" && !strings.Contains(answer, want) {
					t.Errorf("called as %s, want %s", answer, want)
				}
				if server == "wiki" {
					token, err := jwt.ParseSigned(wiki.Last(t).Header.Get("X-Identity"), []jose.SignatureAlgorithm{jose.EdDSA})
					if err != nil {
						t.Fatal(err)
					}
					var claims struct {
						Name string `json:"name"`
						Sub  string `json:"sub"`
					}
					if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil || !strings.HasPrefix(strings.ToLower(claims.Name), tt.who) || !strings.HasPrefix(claims.Sub, "oidc:entra:") {
						t.Errorf("the wiki is told of %+v, %v", claims, err)
					}
				}
			})
		}
	}
}
