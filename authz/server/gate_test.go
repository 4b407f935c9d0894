package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	prmParam    = `resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"`
	bareMCP     = `Bearer ` + prmParam + `, scope="mcp:use"`
	invalidMCP  = `Bearer error="invalid_token", error_description="The token is unknown, expired, revoked, or for another server.", ` + prmParam + `, scope="mcp:use"`
	badRequest  = `Bearer error="invalid_request", error_description="Send one bearer token in one Authorization header.", ` + prmParam + `, scope="mcp:use"`
	mcpURL      = gateIssuer + "/mcp"
	authHeader  = "Authorization"
	lacksPrefix = `Bearer error="insufficient_scope", error_description="The token lacks a scope that this call needs.", `
)

func TestNoToken_E01_RS5_RS6(t *testing.T) {
	g := newGateFixture(t, gateConfig()).gate("mcp")
	for name, header := range map[string][]string{
		"none":             nil,
		"basic":            {authHeader, "Basic x"},
		"scheme only":      {authHeader, "Bearer"},
		"scheme and space": {authHeader, "Bearer "},
		"look-alike":       {authHeader, "BearerX abc"},
		"empty":            {authHeader, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{"POST", "GET", "DELETE", "HEAD", "PUT", "CONNECT"} {
				c, w := call(g, method, mcpURL, header...)
				refused(t, c, w, 401, bareMCP)
			}
		})
	}
	t.Run("websocket upgrade E15", func(t *testing.T) {
		c, w := call(g, "GET", mcpURL, "Connection", "Upgrade", "Upgrade", "websocket")
		refused(t, c, w, 401, bareMCP)
	})
}

func TestGoodTokenPasses_RS14_RS16(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g, token := f.gate("mcp"), f.issue(nil)
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER ", "Bearer   "} {
		for _, method := range []string{"POST", "GET", "DELETE"} {
			c, w := call(g, method, mcpURL, authHeader, scheme+token)
			if c == nil {
				t.Fatalf("%s %q: %d %s", method, scheme, w.Code, w.Body)
			}
			if c.GrantID != "grant-1" || c.ClientID != "client-1" || c.Scope != "mcp:use" || c.TokenHash != storage.HashOf(token) {
				t.Errorf("caller %+v", c)
			}
			if len(w.Header()) != 0 {
				t.Errorf("headers on a call that passes: %v", w.Header())
			}
		}
	}
	if f.store.reads != 1 {
		t.Errorf("%d store reads for one token", f.store.reads)
	}
}

func TestInvalidToken_E02_E03_F11_RS5_RS14_RS19(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g := f.gate("mcp")
	revoked := f.issue(nil)
	f.store.drop(storage.HashOf(revoked))
	for name, token := range map[string]string{
		"garbage":        "garbage",
		"unknown":        gateTokens.New(tokens.Contents{}),
		"revoked":        revoked,
		"expired":        f.issue(func(a *storage.AccessToken) { a.ExpiresAt = f.clock.Now() }),
		"other issuer":   f.issue(func(a *storage.AccessToken) { a.Issuer = "https://other.example.com" }),
		"no audience":    f.issue(func(a *storage.AccessToken) { a.Audience = nil }),
		"empty audience": f.issue(func(a *storage.AccessToken) { a.Audience = []string{""} }),
		"sibling server": f.issue(func(a *storage.AccessToken) { a.Audience = []string{gateIssuer + "/mcp2"} }),
		"server below":   f.issue(func(a *storage.AccessToken) { a.Audience = []string{gateIssuer + "/mcp/notion"} }),
		"prefix":         f.issue(func(a *storage.AccessToken) { a.Audience = []string{gateIssuer} }),
		"other host":     f.issue(func(a *storage.AccessToken) { a.Audience = []string{"https://mcp.example.com.evil/mcp"} }),
		"trailing slash": f.issue(func(a *storage.AccessToken) { a.Audience = []string{gateIssuer + "/mcp/"} }),
		"upper case":     f.issue(func(a *storage.AccessToken) { a.Audience = []string{gateIssuer + "/MCP"} }),
		"kind of identity no longer in use": f.issue(func(a *storage.AccessToken) {
			a.Identity = storage.Identity{Kind: string(identity.Caddy), Subject: "caddy:ann"}
		}),
		"refresh token": oauth.NewSecret(tokens.RefreshPrefix),
		"unknown key":   "sk-nobody",
	} {
		t.Run(name, func(t *testing.T) {
			c, w := call(g, "POST", mcpURL, authHeader, "Bearer "+token)
			refused(t, c, w, 401, invalidMCP)
		})
	}
}

// An audience is never assumed, not even by a server without a resource.
func TestEmptyResourceNeverPasses_E03(t *testing.T) {
	cfg := gateConfig()
	cfg.Servers[1].Resource = ""
	f := newGateFixture(t, cfg)
	token := f.issue(func(a *storage.AccessToken) { a.Audience = []string{""} })
	c, w := call(f.gate("mcp"), "POST", mcpURL, authHeader, "Bearer "+token)
	refused(t, c, w, 401, invalidMCP)
}

func TestExpiryOfCachedToken_E02(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g := f.gate("mcp")
	token := f.issue(func(a *storage.AccessToken) { a.ExpiresAt = f.clock.Now().Add(2 * time.Second) })
	if c, _ := call(g, "POST", mcpURL, authHeader, "Bearer "+token); c == nil {
		t.Fatal("refused")
	}
	f.clock.Advance(2 * time.Second)
	c, w := call(g, "POST", mcpURL, authHeader, "Bearer "+token)
	refused(t, c, w, 401, invalidMCP)
	if f.store.reads != 1 {
		t.Fatalf("%d reads: the entry was not cached", f.store.reads)
	}
}

func TestInsufficientScope_E04_RS10_RS11_RS12(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g := f.gate("mcp2")
	prm := strings.ReplaceAll(prmParam, "/mcp\"", "/mcp2\"")
	for name, tc := range map[string]struct {
		granted []string
		want    string
	}{
		"one missing":    {[]string{"mcp:use"}, "mcp:use mcp:two"},
		"other granted":  {[]string{"notion:write", "mcp:two"}, "notion:write mcp:two mcp:use"},
		"none granted":   {nil, "mcp:use mcp:two"},
		"offline access": {[]string{"offline_access", "mcp:two"}, "mcp:two mcp:use"},
		"only a prefix":  {[]string{"mcp:use", "mcp"}, "mcp:use mcp mcp:two"},
	} {
		t.Run(name, func(t *testing.T) {
			token := f.issue(func(a *storage.AccessToken) {
				a.Audience, a.Scope = []string{gateIssuer + "/mcp2"}, tc.granted
			})
			c, w := call(g, "POST", gateIssuer+"/mcp2", authHeader, "Bearer "+token)
			refused(t, c, w, 403, lacksPrefix+prm+`, scope="`+tc.want+`"`)
		})
	}
	t.Run("all granted", func(t *testing.T) {
		token := f.issue(func(a *storage.AccessToken) {
			a.Audience, a.Scope = []string{gateIssuer + "/mcp2"}, []string{"mcp:two", "mcp:use"}
		})
		if c, w := call(g, "POST", gateIssuer+"/mcp2", authHeader, "Bearer "+token); c == nil {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestTokenElsewhere_E05_E07(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g, token := f.gate("mcp"), f.issue(nil)
	t.Run("query", func(t *testing.T) {
		c, w := call(g, "POST", mcpURL+"?access_token="+token)
		refused(t, c, w, 401, bareMCP)
	})
	t.Run("form", func(t *testing.T) {
		r := httptest.NewRequest("POST", mcpURL, strings.NewReader("access_token="+token))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		refused(t, g.Check(w, r), w, 401, bareMCP)
	})
	for _, header := range []string{"X-Api-Key", "Proxy-Authorization", "Cookie", "X-Forwarded-Access-Token"} {
		t.Run(header, func(t *testing.T) {
			c, w := call(g, "POST", mcpURL, header, "Bearer "+token)
			refused(t, c, w, 401, bareMCP)
		})
	}
}

func TestMalformedCredential_E06_RS13(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g, token := f.gate("mcp"), f.issue(nil)
	for name, header := range map[string][]string{
		"two headers":    {authHeader, "Bearer " + token, authHeader, "Bearer " + token},
		"basic first":    {authHeader, "Basic x", authHeader, "Bearer " + token},
		"list":           {authHeader, "Bearer " + token + ", Bearer " + token},
		"list, no space": {authHeader, "Bearer " + token + ",x"},
		"two tokens":     {authHeader, "Bearer " + token + " " + token},
		"9 KiB":          {authHeader, "Bearer " + strings.Repeat("a", 9<<10)},
		"control":        {authHeader, "Bearer abc\x01"},
		"not ASCII":      {authHeader, "Bearer sk-é"},
		"inner tab":      {authHeader, "Bearer \t" + token},
	} {
		t.Run(name, func(t *testing.T) {
			c, w := call(g, "POST", mcpURL, header...)
			refused(t, c, w, 400, badRequest)
		})
	}
}

func TestTrailingSlashChallenge_RS4(t *testing.T) {
	g := newGateFixture(t, gateConfig()).gate("mcp")
	c, w := call(g, "POST", mcpURL+"/")
	refused(t, c, w, 401, strings.Replace(bareMCP, `/mcp"`, `/mcp/"`, 1))
}

// The path, Host and forwarding headers of a request name nothing.
func TestChallengeFromConfiguration_RS21_E13(t *testing.T) {
	g := newGateFixture(t, gateConfig()).gate("mcp")
	r := httptest.NewRequest("POST", "https://evil.example/mcp", nil)
	r.Header.Set("X-Forwarded-Host", "evil.example")
	r.Header.Set("X-Forwarded-Uri", "/public")
	r.Header.Set("User-Agent", "kube-probe/1.0")
	w := httptest.NewRecorder()
	refused(t, g.Check(w, r), w, 401, bareMCP)
}

func TestVirtualKeyBearer_E21(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	t.Run("any server", func(t *testing.T) {
		c, _ := call(f.gate("notion"), "POST", gateIssuer+"/mcp/notion", authHeader, "Bearer sk-ops")
		if c == nil || c.GrantID != "vk:ops" || c.ClientID != "" || c.Scope != "mcp:use notion:write" {
			t.Errorf("caller %+v", c)
		}
	})
	t.Run("its server", func(t *testing.T) {
		if c, _ := call(f.gate("mcp"), "POST", mcpURL, authHeader, "Bearer sk-ci"); c == nil || c.Identity.Name != "ci" {
			t.Errorf("caller %+v", c)
		}
	})
	t.Run("another server", func(t *testing.T) {
		c, w := call(f.gate("mcp2"), "POST", gateIssuer+"/mcp2", authHeader, "Bearer sk-ci")
		if c != nil || w.Code != 401 {
			t.Errorf("caller %+v, status %d", c, w.Code)
		}
	})
	t.Run("no store read", func(t *testing.T) {
		if f.store.reads != 0 {
			t.Errorf("%d reads", f.store.reads)
		}
	})
}

func TestGrantOfVirtualKey_E21_B17(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	issue := func(subject, server string) string {
		return f.issue(func(a *storage.AccessToken) {
			name := subject[strings.IndexByte(subject, ':')+1:]
			a.Identity = (&identity.Key{Name: name, Hash: storage.HashOf("sk-" + name)}).Identity()
			a.Identity.Subject = subject
			a.Audience, a.Scope = []string{gateIssuer + "/" + server}, []string{"mcp:use", "mcp:two"}
		})
	}
	for name, tc := range map[string]struct {
		subject, server string
		pass            bool
	}{
		"key stands":               {"virtual_key:ci", "mcp", true},
		"server taken from key":    {"virtual_key:ci", "mcp2", false},
		"key withdrawn":            {"virtual_key:gone", "mcp", false},
		"subject of another kind":  {"user_id:ci", "mcp", false},
		"key good for all servers": {"virtual_key:ops", "mcp2", true},
	} {
		t.Run(name, func(t *testing.T) {
			c, w := call(f.gate(tc.server), "POST", gateIssuer+"/"+tc.server, authHeader, "Bearer "+issue(tc.subject, tc.server))
			if (c != nil) != tc.pass || (c == nil && w.Code != 401) {
				t.Errorf("caller %+v, status %d", c, w.Code)
			}
		})
	}
}

func TestCheckLeavesRequestAlone(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g := f.gate("mcp")
	r := httptest.NewRequest("POST", mcpURL, nil)
	r.Header.Set(authHeader, "Bearer "+f.issue(nil))
	before := r.Header.Clone()
	if g.Check(httptest.NewRecorder(), r) == nil {
		t.Fatal("refused")
	}
	if len(r.Header) != len(before) || r.Header.Get(authHeader) != before.Get(authHeader) {
		t.Errorf("headers changed: %v", r.Header)
	}
}

// What a stranger makes up costs the store nothing.
func TestMadeUpTokensNeverReachTheStore(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g := f.gate("mcp")
	genuine := f.issue(nil)
	for _, token := range []string{
		"x", tokens.AccessPrefix, oauth.NewSecret(tokens.AccessPrefix), madeUpToken,
		genuine[:len(genuine)-9] + "AAAAAAAAA", tokens.NewAccessTokens(gateKeys, "https://other.example.com").New(tokens.Contents{}),
	} {
		c, w := call(g, "POST", mcpURL, authHeader, "Bearer "+token)
		refused(t, c, w, http.StatusUnauthorized, invalidMCP)
	}
	if f.store.reads != 0 {
		t.Errorf("%d reads", f.store.reads)
	}
	if c, _ := call(g, "POST", mcpURL, authHeader, "Bearer "+genuine); c == nil || f.store.reads != 1 {
		t.Errorf("a genuine one: %v, %d reads", c, f.store.reads)
	}
}
