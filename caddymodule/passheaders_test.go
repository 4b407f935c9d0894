package caddymodule

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// strangers are headers that some server or framework believes, or acts on.
var strangers = []string{
	"X-Auth-User", "X-Authentik-Username", "Cf-Access-Authenticated-User-Email", "Tailscale-User-Login",
	"X-Goog-Authenticated-User-Email", "X-Ms-Client-Principal-Name", "X-Amzn-Oidc-Identity", "X-Vouch-User", "X-Userinfo",
	"X-Forwarded-Client-Cert", "Ssl-Client-S-Dn", "Cf-Connecting-Ip", "Fastly-Client-Ip", "X-Original-Url", "X-Rewrite-Url",
	"X-Http-Method-Override", "X-Pomerium-Jwt-Assertion", "X-Authelia-User", "X-User-Id", "X-Tenant", "X-Api-Key", "X-Never-Heard-Of",
	"Proxy", "Referer", "X-Forwarded-User", "Remote-User", "Origin", "Cookie", "Authorization", "X-Real-Ip", "Host-Override",
}

// E09: what is not known to be harmless does not pass, whoever believes it.
func TestOnlyKnownHeadersPass_E09(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	harmless := []string{
		"Accept", "Accept-Language", "Baggage", "Cache-Control", "Content-Language", "If-None-Match", "Last-Event-Id", "Mcp-Name",
		"Mcp-Of-The-Future", "Mcp-Protocol-Version", "Range", "Traceparent", "Tracestate", "User-Agent", "X-Request-Id",
	}
	var headers []string
	for _, name := range harmless {
		headers = append(headers, name, "2025-11-25")
	}
	for _, name := range strangers[:len(strangers)-8] {
		headers = append(headers, name, "canary")
	}
	status(t, g.call("POST", "/mcp", initialize, headers...), http.StatusOK)
	got := up.Last(t).Header
	for _, name := range harmless {
		if got.Get(name) != "2025-11-25" {
			t.Errorf("%s: got %q, want it to pass", name, got.Get(name))
		}
	}
	var all bytes.Buffer
	_ = got.Write(&all)
	if strings.Contains(all.String(), "canary") {
		t.Errorf("the upstream got\n%s", &all)
	}
}

// E10: whatever the operator sets, under whatever spelling and by whatever
// option, a client cannot send, although its prefix is let in.
func TestSetHeadersCannotBeForged_E10(t *testing.T) {
	for name, option := range map[string]string{
		"identity_header":              "identity_header X-MCP-User user",
		"identity_header, underscores": "identity_header X_MCP_User user",
		"identity_header, dots":        "identity_header X.MCP.User user",
		"identity_header, left out":    "identity_header X_MCP_User client", // a key has no client
		"auth headers":                 "auth headers {\nX_MCP_User alice\n}",
		"header_up":                    "proxy {\nheader_up X_MCP_User alice\n}",
		"header_up +":                  "proxy {\nheader_up +X-MCP-User alice\n}",
	} {
		t.Run(name, func(t *testing.T) {
			up := oauthtest.Serve(t, nil)
			lines := alice + "server a /mcp " + up.URL + " {\n" + option + "\npass_headers X-MCP-* X_MCP_* X.MCP.*\n}"
			g := newGateway(t, lines)
			g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin off\nservers {\n"+
				"expected_underscore_headers X_MCP_User X_MCP_Tool\nexpected_dot_headers X.MCP.User\n}", 1))
			got := g.raw("POST /mcp HTTP/1.1", "Host: "+g.addr, "Authorization: Bearer "+aliceKey, "Connection: close",
				"X-MCP-User: canary", "X_MCP_User: canary", "X.MCP.User: canary", "x_mcp_tool: kept", "Content-Length: 2", "", "{}")
			h := up.Last(t).Header
			if !strings.Contains(got, " 200 ") || h.Get("X_mcp_tool") != "kept" {
				t.Fatalf("answer %q; Caddy let nothing in: %v", got, h)
			}
			var all bytes.Buffer
			_ = h.Write(&all)
			if strings.Contains(all.String(), "canary") {
				t.Errorf("the upstream got\n%s", &all)
			}
		})
	}
}

// What proxies in front say of the way passes where they are trusted, as with
// Caddy's reverse_proxy.
func TestTrustedProxysHeaders(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := alice + "server a /mcp " + up.URL
	g := newGateway(t, lines)
	sent := []string{"X-Forwarded-For", "203.0.113.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "front.example"}
	for name, test := range map[string]struct{ global, forwarded, proto, host string }{
		"not trusted": {"", "127.0.0.1", "http", g.addr},
		"trusted":     {"servers {\ntrusted_proxies static 127.0.0.1/32\n}", "203.0.113.7, 127.0.0.1", "https", "front.example"},
	} {
		t.Run(name, func(t *testing.T) {
			g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin off\n"+test.global, 1))
			status(t, g.call("POST", "/mcp", initialize, sent...), http.StatusOK)
			h := up.Last(t).Header
			if f, p, host := h.Get("X-Forwarded-For"), h.Get("X-Forwarded-Proto"), h.Get("X-Forwarded-Host"); f != test.forwarded || p != test.proto || host != test.host {
				t.Errorf("got %q, %q, %q; want %q, %q, %q", f, p, host, test.forwarded, test.proto, test.host)
			}
		})
	}
}

// passHeader returns what is wrong with letting a header pass to a server that is
// told X-MCP-User.
func passHeader(name string) error {
	site := config.Site{PublicURL: "http://127.0.0.1", Identities: []config.Identity{{Kind: "anonymous"}}, Servers: []*config.Server{{
		ID: "a", Path: "/mcp", Upstream: "http://127.0.0.1:1/mcp", IdentityHeaders: map[string]string{"X-MCP-User": "identity"}, PassHeaders: []string{name},
	}}}
	_, err := site.Resolve(config.KeepPlaceholders)
	return err
}

// pass_headers cannot let in what no client may decide.
func TestPassHeadersRefused(t *testing.T) {
	const server = "server a /mcp http://127.0.0.1:1/mcp"
	for name, want := range map[string]string{
		"X-*": "would let a client send", "*": "is not a header name", "X-Auth-*": "would let a client send", "X-A*": "would let a client send",
		"X-Custom-*-Y": "is not a header name", "x_auth_user": "would let a client send", "Mcp_*": "pass anyway",
		"Mcp-Session_Id": "pass anyway", "User_Agent": "passes anyway", "X-Mcp-User": "the site itself sets", "X_MCP_USER": "the site itself sets",
		"X-Key": "the site itself sets", "X-Team": "the site itself sets",
	} {
		t.Run(name, func(t *testing.T) {
			err := loadCaddyfile("{\nadmin off\n}\nhttp://127.0.0.1:0 {\nmcp_oauth {\npublic_url http://127.0.0.1\n" + alice + server +
				" {\nauth headers {\nX-Key {env.HOME}\n}\nidentity_header X-MCP-User user\nproxy {\nheader_up X-Team blue\n}\npass_headers " + name + "\n}\n}\n}\n")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("pass_headers %s: error %v, want one with %q", name, err, want)
			}
		})
	}
	for _, name := range strangers {
		if name == "X-Tenant" || name == "X-Api-Key" || name == "X-Never-Heard-Of" || name == "Host-Override" {
			continue // may well be a server's own
		}
		if err := passHeader(name); err == nil || !strings.Contains(err.Error(), "would let a client send") {
			t.Errorf("pass_headers %s: %v", name, err)
		}
	}
	for _, name := range []string{"X-Toolset", "X-MCP-*", "X-Custom-*", "X_Custom_*", "X-Api-Key", "Idempotency-Key"} {
		if err := passHeader(name); err != nil {
			t.Errorf("pass_headers %s: %v", name, err)
		}
	}
}
