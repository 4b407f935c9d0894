package caddymodule

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// E19, F07: only the site's own host is served, and only its origins.
func TestForeignHostAndOrigin_E19_F07(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	catchAll := strings.Replace(g.caddyfile(alice+"server a /mcp "+up.URL+"\npublic_url "+g.url), "http://"+g.addr, "http://:"+g.addr[strings.LastIndex(g.addr, ":")+1:], 1)
	for name, text := range map[string]string{"own site": "", "site for all hosts": catchAll} {
		t.Run(name, func(t *testing.T) {
			if text != "" {
				g.load(text)
			}
			for _, host := range []string{"evil.example", "evil.example:443", "localhost", "127.0.0.1.evil.example"} {
				for _, path := range []string{
					"/mcp", "/mcp/", "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp",
					"/api/oauth/per-user/register", "/oauth/consent", "/token",
				} {
					body := status(t, g.call("POST", path, initialize, "Host", host), http.StatusMisdirectedRequest)
					if strings.Contains(body, "evil") {
						t.Errorf("%s: %s", path, body)
					}
				}
			}
			want := status(t, g.call("GET", "/.well-known/oauth-authorization-server", ""), http.StatusOK)
			got := status(t, g.call("GET", "/.well-known/oauth-authorization-server", "", "X-Forwarded-Host", "evil.example",
				"X-Forwarded-Proto", "https", "Forwarded", "host=evil.example"), http.StatusOK)
			if got != want || !strings.Contains(got, g.url) {
				t.Errorf("metadata became %s", got)
			}
			status(t, g.call("POST", "/mcp", initialize, "Origin", "https://evil.example"), http.StatusForbidden)
		})
	}
	if up.Hits() != 0 {
		t.Errorf("%d requests passed", up.Hits())
	}
	status(t, g.call("GET", "/elsewhere", "", "Host", "evil.example"), http.StatusOK) // none of our business
}

// Sites that share a server do not answer for each other's paths, and a
// non-terminal route behind ours does not make our host a foreign one.
func TestForeignHostBesideOtherSites(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	port := g.addr[strings.LastIndex(g.addr, ":")+1:]
	g.load(g.caddyfile(alice+"server a /mcp "+up.URL) + "\nhttp://other.example:" + port + " {\nbind 127.0.0.1\nrespond \"the other site\"\n}\n")
	if got := status(t, g.call("GET", "/mcp", "", "Host", "other.example"), http.StatusOK); got != "the other site" {
		t.Errorf("got %q", got)
	}
	before := len(g.log())
	status(t, g.call("GET", "/mcp", "", "Host", "evil.example"), http.StatusMisdirectedRequest)
	for _, part := range []string{`"event":"request.refused"`, `"reason":"misdirected_request"`, `evil.example`, g.url} {
		if log := g.log()[before:]; !strings.Contains(log, part) {
			t.Errorf("no %s in the log:\n%s", part, log)
		}
	}
	status(t, g.call("POST", "/mcp", initialize), http.StatusOK)

	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(alice+"server a /mcp "+up.URL)), nil)
	if err != nil {
		t.Fatal(err)
	}
	behind := strings.Replace(string(config), `"terminal":true}`, `"terminal":false},{"match":[{"path":["/never"]}]}`, 1)
	if behind == string(config) {
		t.Fatal("no terminal route")
	}
	if err := caddy.Load([]byte(behind), true); err != nil {
		t.Fatal(err)
	}
	status(t, g.call("GET", "/oauth/none-of-ours", ""), http.StatusNotFound)
	status(t, g.call("GET", "/elsewhere", ""), http.StatusOK)
	status(t, g.call("GET", "/oauth/none-of-ours", "", "Host", "evil.example"), http.StatusMisdirectedRequest)
}

// A site that answers for every host says why it refuses one, unless the
// operator's error routes do.
func TestForeignHostIsToldWhy(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	port := g.addr[strings.LastIndex(g.addr, ":")+1:]
	site := strings.Replace(g.caddyfile(alice+"server a /mcp http://127.0.0.1:1/mcp\npublic_url "+g.url),
		"http://"+g.addr+" {", "http://:"+port+" {", 1)
	g.load(site)
	body := status(t, g.call("GET", "/mcp", "", "Host", "evil.example"), http.StatusMisdirectedRequest)
	var e struct {
		Error         string `json:"error"`
		Description   string `json:"error_description"`
		CorrelationID string `json:"correlation_id"`
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error != "misdirected_request" || !strings.Contains(e.Description, g.url+".") {
		t.Errorf("answer %s", body)
	}
	if log := g.log(); e.CorrelationID == "" || !strings.Contains(log, e.CorrelationID) {
		t.Errorf("no line about %q in the log:\n%s", e.CorrelationID, log)
	}
	g.load(strings.Replace(site, "http://:"+port+" {", "http://:"+port+" {\nhandle_errors {\nrespond \"in other words: {err.status_code}\"\n}\n", 1))
	body = status(t, g.call("GET", "/mcp", "", "Host", "evil.example"), http.StatusMisdirectedRequest)
	if body != "in other words: 421" {
		t.Errorf("answer %q", body)
	}
}

// F11: two sites on one store do not take each other's tokens.
func TestTwoIssuers_F11(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	second := &instance{t: t, addr: freeAddr(t), dir: g.dir}
	second.url, second.logs = "http://"+second.addr, g.logs
	site := second.caddyfile(alice + "server a /mcp " + up.URL)
	g.load(g.caddyfile(alice+"server a /mcp "+up.URL) + site[strings.Index(site, "http://"+second.addr):])
	first := accessToken(t, g.signIn("client", g.url+"/mcp"))
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+first), http.StatusOK)
	status(t, second.call("POST", "/mcp", initialize, "Authorization", "Bearer "+first), http.StatusUnauthorized)
	other := accessToken(t, second.signIn("client", second.url+"/mcp"))
	status(t, second.call("POST", "/mcp", initialize, "Authorization", "Bearer "+other), http.StatusOK)
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+other), http.StatusUnauthorized)
}

// N04: limits count for the peer, whatever it forwards.
func TestClientIP_N04(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp\nregistration {\nrate_limit 2\n}")
	for i, want := range []int{201, 201, 429} {
		status(t, g.call("POST", "/api/oauth/per-user/register", `{"redirect_uris":["http://127.0.0.1/cb"]}`,
			"Content-Type", "application/json", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i), "Authorization", ""), want)
	}
}

// N05: what a stranger writes is never expanded.
func TestPlaceholders_N05(t *testing.T) {
	t.Setenv("SECRET", "canary-of-the-environment")
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL+" {\npass_headers X-Evil\n}")
	g.signIn("{env.SECRET}", g.url+"/mcp")
	res := g.call("POST", "/mcp", initialize, "X-Evil", "{env.SECRET}")
	status(t, res, http.StatusOK)
	if got := up.Last(t).Header.Get("X-Evil"); got != "{env.SECRET}" {
		t.Errorf("the upstream got %q", got)
	}
	if !strings.Contains(html.UnescapeString(g.pages), "{env.SECRET}") {
		t.Error("the pages do not show the client's name as it is")
	}
	if strings.Contains(g.log()+g.pages, "canary-of-the-environment") {
		t.Error("the environment is in the log or on a page")
	}
}
