package server

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func TestOrigin_E19_RS18(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g, token := f.gate("mcp"), f.issue(nil)
	for origin, allowed := range map[string]bool{
		gateIssuer:                         true,
		"https://app.example.org":          true,
		"http://localhost":                 true,
		"http://localhost:6274":            true,
		"https://localhost:8443":           true,
		"http://127.0.0.1:5173":            true,
		"http://[::1]:3000":                true,
		"https://evil":                     false,
		"null":                             false,
		"":                                 false,
		"https://mcp.example.com.evil":     false,
		"https://mcp.example.com:8443":     false,
		"http://mcp.example.com":           false,
		"https://sub.app.example.org":      false,
		"http://localhost.evil":            false,
		"http://localhost:":                false,
		"http://localhost:80@evil":         false,
		"http://localhost:123456":          false,
		"http://localhost:80/x":            false,
		"http://127.0.0.1.nip.io":          false,
		"http://127.0.0.2":                 false,
		"ftp://localhost":                  false,
		"https://MCP.example.com":          false,
		"https://app.example.org, http://": false,
	} {
		t.Run(origin, func(t *testing.T) {
			c, w := call(g, "POST", mcpURL, authHeader, "Bearer "+token, "Origin", origin)
			if !allowed {
				if c != nil || w.Code != 403 || w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("WWW-Authenticate") != "" {
					t.Fatalf("caller %v, %d %v", c, w.Code, w.Header())
				}
				if !strings.Contains(w.Body.String(), `"jsonrpc":"2.0"`) || !strings.Contains(w.Body.String(), "correlation_id") {
					t.Errorf("body %s", w.Body)
				}
				return
			}
			h := w.Header()
			if c == nil || h.Get("Access-Control-Allow-Origin") != origin || h.Get("Vary") != "Origin" {
				t.Fatalf("caller %v, %d %v", c, w.Code, h)
			}
			for _, exposed := range []string{"WWW-Authenticate", "Mcp-Session-Id", "MCP-Protocol-Version"} {
				if !strings.Contains(h.Get("Access-Control-Expose-Headers"), exposed) {
					t.Errorf("%s is not exposed", exposed)
				}
			}
		})
	}
	t.Run("the log names it", func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		f.as.deps.Events = oauthtest.Events(zap.New(core))
		g := f.gate("mcp")
		call(g, "POST", mcpURL, "Origin", "https://page.example")
		call(g, "POST", mcpURL, "Origin", "https://"+strings.Repeat("a", 5000))
		entries := logs.All()
		if len(entries) != 2 {
			t.Fatalf("%d lines", len(entries))
		}
		if got := fmt.Sprint(entries[0].ContextMap()["origin"]); got != "https://page.example" {
			t.Errorf("origin %s", got)
		}
		if got := fmt.Sprint(entries[1].ContextMap()["origin"]); len(got) > 600 {
			t.Errorf("%d bytes in the log", len(got))
		}
	})
	t.Run("two", func(t *testing.T) {
		if c, w := call(g, "POST", mcpURL, authHeader, "Bearer "+token, "Origin", gateIssuer, "Origin", "https://evil"); c != nil || w.Code != 403 {
			t.Errorf("caller %v, %d", c, w.Code)
		}
	})
	t.Run("a page can read why it was refused", func(t *testing.T) {
		_, w := call(g, "POST", mcpURL, "Origin", gateIssuer)
		if w.Code != 401 || w.Header().Get("Access-Control-Allow-Origin") != gateIssuer {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	})
}

func TestPreflight_E15_P12(t *testing.T) {
	g := newGateFixture(t, gateConfig()).gate("mcp")
	preflight := func(header ...string) *httptest.ResponseRecorder {
		c, w := call(g, "OPTIONS", mcpURL, header...)
		if c != nil {
			t.Fatal("an OPTIONS request passes")
		}
		return w
	}
	t.Run("allowed", func(t *testing.T) {
		w := preflight("Origin", "http://localhost:6274", "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization,mcp-param-region")
		h := w.Header()
		if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != "http://localhost:6274" || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%d %v", w.Code, h)
		}
		for _, method := range []string{"POST", "GET", "DELETE"} {
			if !strings.Contains(h.Get("Access-Control-Allow-Methods"), method) {
				t.Errorf("%s is not allowed", method)
			}
		}
		if h.Get("Access-Control-Allow-Headers") != "Authorization, *" {
			t.Errorf("headers %q", h.Get("Access-Control-Allow-Headers"))
		}
	})
	t.Run("foreign", func(t *testing.T) {
		if w := preflight("Origin", "https://evil", "Access-Control-Request-Method", "POST"); w.Code != 403 || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	})
	t.Run("no page", func(t *testing.T) {
		w := preflight()
		if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("Allow") == "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	})
	t.Run("with a token", func(t *testing.T) { preflight(authHeader, "Bearer sk-ops") })
}

// Web pages may use every endpoint that knows no cookies, and no other.
func TestCORSOfEndpoints_AS40_AS73(t *testing.T) {
	ts := newTestServer(t)
	for path, open := range map[string]bool{
		TokenPath: true, "/token": true, RegisterPath: true, "/register": true, RegisterPath + "/": true,
		revokePath: true, introspectPath: true, oauth.AuthorizationServerPath: true,
		"/api/oauth/token": true, "/api/oauth/register": true,
		AuthorizePath: false, "/authorize": false, dashboardAuthorizePath: false,
	} {
		for _, method := range []string{"OPTIONS", "POST", "GET"} {
			r := httptest.NewRequest(method, testIssuer+path, nil)
			r.Header.Set("Origin", "https://page.example")
			h := ts.serve(r).Header()
			if got := h.Get("Access-Control-Allow-Origin"); (got == "*") != open || !open && got != "" {
				t.Errorf("%s %s: Access-Control-Allow-Origin %q", method, path, got)
			}
			if h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s: credentials allowed", method, path)
			}
		}
	}
}
