package caddymodule

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// N06: whatever an operator writes before the plugin in the site, its own paths
// stay its own: the order of directives is Caddy's, not the file's.
func TestNothingShadowsOurPaths_N06(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	for name, before := range map[string]string{
		"respond":       "respond mine",
		"handle":        "handle {\nrespond mine\n}",
		"handle oauth":  "handle /oauth/* {\nrespond mine\n}",
		"handle_path":   "handle_path /mcp* {\nrespond mine\n}",
		"handle .well":  "handle /.well-known/* {\nrespond mine\n}",
		"route":         "route /api/* {\nrespond mine\n}",
		"reverse_proxy": "reverse_proxy " + up.URL,
		"file_server":   "file_server {\nroot " + t.TempDir() + "\n}",
		"error":         "error /mcp mine 418",
		"abort":         "abort /oauth/*",
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
			text := g.caddyfile(alice + "server a /mcp http://127.0.0.1:1/mcp")
			shadowed := strings.Replace(text, "\tmcp_oauth {\n\t\tidentity", "\t"+before+"\n\tmcp_oauth {\n\t\tidentity", 1)
			if shadowed == text {
				t.Fatal("nothing is in front")
			}
			g.load(shadowed)
			for path, want := range map[string]int{
				"/mcp": 401, "/.well-known/oauth-authorization-server": 200, "/.well-known/oauth-protected-resource/mcp": 200,
				"/oauth/account": 200, "/oauth/consent": 400, "/api/oauth/per-user/token": 405, "/oauth/nothing": 404,
			} {
				res := g.call("GET", path, "", "Authorization", "")
				if body := status(t, res, want); strings.Contains(body, "mine") {
					t.Errorf("%s: %s", path, body)
				}
			}
		})
	}
	if n := up.Hits(); n != 0 {
		t.Errorf("%d requests for our paths went elsewhere", n)
	}
}

// N11: no web page ends grants or connections, or starts a shared one, through
// the admin API: not from another origin, not under another name for this
// machine.
func TestAdminFromAPage_N11(t *testing.T) {
	notion := newService(t)
	lines := people("alice") + notion.server("optional")
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	g.person("alice").connect("notion")
	before := admin(t, addr, "GET", "/mcp_oauth/connections", 200)
	for name, header := range map[string][2]string{
		"another origin":    {"Origin", "https://evil.example"},
		"no origin":         {"Origin", "null"},
		"the site's origin": {"Origin", "https://mcp.example.com"},
		"rebound name":      {"Host", "evil.example"},
	} {
		for _, r := range []string{
			"GET /mcp_oauth/connections", "GET /mcp_oauth/grants", "DELETE /mcp_oauth/connections/x", "DELETE /mcp_oauth/grants/x",
			"POST /mcp_oauth/connections/notion/start", "DELETE /api/oauth/config/x", "GET /api/oauth/config/x/status", "DELETE /mcp_oauth/people/virtual_key:alice",
		} {
			method, path, _ := strings.Cut(r, " ")
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(header[0], header[1])
			if header[0] == "Host" {
				req.Host = header[1]
			}
			res, err := once.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			want := http.StatusForbidden
			if header[1] == "null" {
				want = http.StatusBadRequest
			}
			body := status(t, res, want)
			res.Body.Close()
			if res.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s, %s: lets pages read %s", name, r, body)
			}
		}
	}
	if after := admin(t, addr, "GET", "/mcp_oauth/connections", 200); after != before {
		t.Errorf("a page changed something: %s", after)
	}
}

// I24: a site with a certificate shows nothing over http, and gives no cookie
// there; one that is not on this machine can be nothing else.
func TestPlainHTTP_I24(t *testing.T) {
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }
	plain, secure := freeAddr(t), freeAddr(t)
	dir := t.TempDir()
	text := fmt.Sprintf(`{
	admin off
	persist_config off
	local_certs
	skip_install_trust
	http_port %[1]s
	https_port %[2]s
	default_bind 127.0.0.1
	storage file_system %[3]s
	log {
		output file %[3]s/log
	}
	mcp_oauth {
		storage bbolt {
			path %[3]s/db
		}
	}
}
mcp.example.com {
	mcp_oauth {
		%[4]s
	}
}
`, port(plain), port(secure), dir, alice+"server a /mcp http://127.0.0.1:1/mcp\npublic_url https://mcp.example.com")
	newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp") // stops Caddy in the end
	if err := loadCaddyfile(text); err != nil {
		t.Fatal(err)
	}
	get := func(scheme, addr, path string) *http.Response {
		t.Helper()
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // only what it answers matters
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, addr)
			},
		}}
		var res *http.Response
		oauthtest.Eventually(t, "there is no certificate", func() (is bool) {
			var err error
			res, err = client.Get(scheme + "://mcp.example.com" + path)
			return err == nil
		})
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	for _, path := range []string{"/oauth/account", "/oauth/consent", "/api/oauth/per-user/authorize?client_id=x", "/mcp", "/.well-known/oauth-authorization-server"} {
		res := get("http", plain, path)
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusPermanentRedirect || len(res.Cookies()) != 0 || len(body) != 0 || !strings.HasPrefix(res.Header.Get("Location"), "https://mcp.example.com") {
			t.Errorf("%s over http: %d %v %s", path, res.StatusCode, res.Header, body)
		}
	}
	cookies := get("https", secure, "/oauth/account").Cookies()
	if len(cookies) != 1 || !cookies[0].Secure || !strings.HasPrefix(cookies[0].Name, "__Host-") {
		t.Errorf("cookies over https: %v", cookies)
	}
	err := loadCaddyfile(strings.Replace(text, "public_url https:", "public_url http:", 1))
	if err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("http for a site that is not on this machine: %v", err)
	}
}
