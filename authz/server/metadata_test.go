package server

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

var update = flag.Bool("update", false, "write the golden documents")

// serveRoutes answers as the web server does: exact paths first, then prefixes.
func serveRoutes(routes []Route) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.Handle(r.Path, r.Handler)
	}
	return mux
}

func wellKnownOf(cfg config.Site, t testing.TB) http.Handler {
	return serveRoutes(newGateFixture(t, cfg).as.Routes())
}

func fetch(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, gateIssuer+path, nil))
	return w
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got, "", "  "); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	pretty.WriteByte('\n')
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pretty.Bytes(), want) {
		t.Errorf("%s differs:\n%s", name, pretty.Bytes())
	}
}

func TestGoldenMetadata_F09_AS5_AS6_AS7_AS8_AS9_AS10_AS11(t *testing.T) {
	locked := gateConfig()
	locked.Registration.Dynamic, locked.Registration.MetadataDocuments = new(false), new(false)
	h, lockedH := wellKnownOf(gateConfig(), t), wellKnownOf(locked, t)
	golden(t, "metadata.json", fetch(h, "GET", oauth.AuthorizationServerPath).Body.Bytes())
	golden(t, "metadata_locked.json", fetch(lockedH, "GET", oauth.AuthorizationServerPath).Body.Bytes())
	golden(t, "resource.json", fetch(h, "GET", oauth.ProtectedResourcePath+"/mcp/notion").Body.Bytes())
	golden(t, "resource_slash.json", fetch(h, "GET", oauth.ProtectedResourcePath+"/mcp/").Body.Bytes())
}

func TestMetadataShapes_F08_AS2_AS3_AS4(t *testing.T) {
	h := wellKnownOf(gateConfig(), t)
	first := fetch(h, "GET", oauth.AuthorizationServerPath).Body.String()
	for _, path := range []string{
		oauth.AuthorizationServerPath, oauth.OpenIDConfigurationPath,
		oauth.AuthorizationServerPath + "/mcp", oauth.AuthorizationServerPath + "/mcp/", oauth.AuthorizationServerPath + "/mcp/notion",
		oauth.OpenIDConfigurationPath + "/mcp", oauth.OpenIDConfigurationPath + "/mcp/notion",
		"/mcp" + oauth.OpenIDConfigurationPath, "/mcp/notion" + oauth.OpenIDConfigurationPath,
		"/mcp" + oauth.AuthorizationServerPath, "/mcp/notion" + oauth.AuthorizationServerPath,
	} {
		w := fetch(h, "GET", path)
		if w.Code != 200 || w.Body.String() != first {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	var m struct{ Issuer string }
	if err := json.Unmarshal([]byte(first), &m); err != nil || m.Issuer != gateIssuer {
		t.Errorf("issuer %q", m.Issuer)
	}
	for _, path := range []string{
		oauth.AuthorizationServerPath + "/", oauth.AuthorizationServerPath + "/other", oauth.AuthorizationServerPath + "/mcp/x", oauth.OpenIDConfigurationPath + "/mcp3",
		oauth.ProtectedResourcePath + "/", oauth.ProtectedResourcePath + "/other", oauth.ProtectedResourcePath + "/mcp/other", oauth.ProtectedResourcePath + "/MCP",
		"/mcp" + oauth.OpenIDConfigurationPath + "/x", "/other" + oauth.OpenIDConfigurationPath,
		"/other" + oauth.AuthorizationServerPath, "/other" + oauth.ProtectedResourcePath, "/mcp" + oauth.ProtectedResourcePath + "/mcp",
	} {
		if w := fetch(h, "GET", path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// resourceOf fetches a document as a client does that was given serverURL.
func resourceOf(t *testing.T, h http.Handler, wellKnown string) oauth.ResourceDocument {
	t.Helper()
	w := fetch(h, "GET", wellKnown)
	var m oauth.ResourceDocument
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatalf("%s: %d %s", wellKnown, w.Code, w.Body)
	}
	return m
}

func TestResourceMetadata_RS1_RS3_RS4_RS8_RS9(t *testing.T) {
	cfg := gateConfig()
	cfg.Servers[1].Scopes = append(cfg.Servers[1].Scopes, "offline_access")
	h := wellKnownOf(cfg, t)
	for path, resource := range map[string]string{
		"":             gateIssuer + "/mcp/notion", // the first server
		"/mcp":         gateIssuer + "/mcp",
		"/mcp/":        gateIssuer + "/mcp/",
		"/mcp/notion":  gateIssuer + "/mcp/notion",
		"/mcp/notion/": gateIssuer + "/mcp/notion/",
		"/mcp2":        gateIssuer + "/mcp2",
	} {
		m := resourceOf(t, h, oauth.ProtectedResourcePath+path)
		if path != "" && !strings.HasSuffix(path, "/") { // older clients append
			if appended := resourceOf(t, h, path+oauth.ProtectedResourcePath); !reflect.DeepEqual(appended, m) {
				t.Errorf("%q appended: %+v", path, appended)
			}
		}
		if m.Resource != resource {
			t.Errorf("%q: resource %q, want %q", path, m.Resource, resource)
		}
		if !slices.Equal(m.AuthorizationServers, []string{gateIssuer}) {
			t.Errorf("%q: authorization servers %q", path, m.AuthorizationServers)
		}
		if slices.Contains(m.ScopesSupported, "offline_access") || slices.Contains(m.ScopesSupported, "notion:write") {
			t.Errorf("%q: more than the least: %q", path, m.ScopesSupported)
		}
	}
}

// A server at the root has no path to tell its two spellings apart on the
// wire. A client that compares bytes looks in both places, and finds its own.
func TestServerAtRoot_RS4(t *testing.T) {
	cfg := gateConfig()
	cfg.Servers = append(cfg.Servers, &config.Server{ID: "root", Path: "/", Resource: gateIssuer, Scopes: []string{"mcp:use"}})
	f := newGateFixture(t, cfg)
	h := serveRoutes(f.as.Routes())
	if m := resourceOf(t, h, oauth.ProtectedResourcePath); m.Resource != gateIssuer {
		t.Errorf("at the root: %q", m.Resource)
	}
	if m := resourceOf(t, h, oauth.ProtectedResourcePath+"/"); m.Resource != gateIssuer+"/" {
		t.Errorf("with a slash: %q", m.Resource)
	}
	c, w := call(f.gate("root"), "POST", gateIssuer+"/")
	refused(t, c, w, 401, `Bearer resource_metadata="`+gateIssuer+oauth.ProtectedResourcePath+`", scope="mcp:use"`)
	token := f.issue(nil)
	if c, w := call(f.gate("root"), "POST", gateIssuer+"/", authHeader, "Bearer "+token); c != nil || w.Code != 401 {
		t.Error("a token for /mcp passes at /")
	}
	for _, path := range []string{oauth.AuthorizationServerPath, oauth.AuthorizationServerPath + "/", oauth.OpenIDConfigurationPath + "/"} {
		if w := fetch(h, "GET", path); w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// The document that the challenge names is there, and names the server back.
func TestChallengeLeadsToMetadata_RS2_RS4(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	h := serveRoutes(f.as.Routes())
	for _, s := range f.as.cfg.Servers {
		for _, slash := range []string{"", "/"} {
			_, w := call(f.gate(s.ID), "POST", s.Resource+slash)
			_, rest, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), `resource_metadata="`)
			at, _, _ := strings.Cut(rest, `"`)
			u, err := url.Parse(at)
			if err != nil || u.Scheme+"://"+u.Host != gateIssuer {
				t.Fatalf("challenge %q", w.Header())
			}
			if m := resourceOf(t, h, u.Path); m.Resource != s.Resource+slash {
				t.Errorf("%s%s leads to %q", s.Resource, slash, m.Resource)
			}
		}
	}
}

func TestMetadataIgnoresRequest_F07_RS21(t *testing.T) {
	h := wellKnownOf(gateConfig(), t)
	for _, path := range []string{oauth.AuthorizationServerPath, oauth.ProtectedResourcePath + "/mcp"} {
		r := httptest.NewRequest("GET", "http://evil.example"+path+"?x=1", nil)
		r.Header.Set("X-Forwarded-Host", "evil.example")
		r.Header.Set("X-Forwarded-Proto", "http")
		r.Header.Set("Forwarded", "host=evil.example")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || strings.Contains(w.Body.String(), "evil") || w.Body.String() != fetch(h, "GET", path).Body.String() {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestMetadataHeaders_F10(t *testing.T) {
	cfg := gateConfig()
	cfg.Servers[0].Title = `</script><script>alert(1)</script>`
	h := wellKnownOf(cfg, t)
	for _, path := range []string{oauth.AuthorizationServerPath, oauth.ProtectedResourcePath + "/mcp/notion", oauth.ProtectedResourcePath + "/none"} {
		w := fetch(h, "GET", path)
		if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, w.Header())
		}
		if strings.ContainsAny(w.Body.String(), "<>") {
			t.Errorf("%s: markup in %s", path, w.Body)
		}
	}
}

func TestMetadataMethods_RS3_AS73(t *testing.T) {
	h := wellKnownOf(gateConfig(), t)
	for _, path := range []string{oauth.AuthorizationServerPath, oauth.OpenIDConfigurationPath + "/mcp", oauth.ProtectedResourcePath + "/mcp", oauth.ProtectedResourcePath + "/none"} {
		for _, method := range []string{"GET", "HEAD"} {
			want := 200
			if strings.HasSuffix(path, "/none") {
				want = 404
			}
			w := fetch(h, method, path)
			if w.Code != want || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s %s: %d %v", method, path, w.Code, w.Header())
			}
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
			w := fetch(h, method, path)
			if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
				t.Errorf("%s %s: %d %v", method, path, w.Code, w.Header())
			}
		}
		w := fetch(h, "OPTIONS", path)
		if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Body.Len() != 0 ||
			!strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "MCP-Protocol-Version") {
			t.Errorf("OPTIONS %s: %d %v", path, w.Code, w.Header())
		}
		if w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: credentials allowed", path)
		}
	}
}

// Pages for people are published where clients look for them, and left out where
// there are none.
func TestPagesInMetadata(t *testing.T) {
	members := []string{"service_documentation", "resource_documentation", "resource_policy_uri", "resource_tos_uri"}
	document := func(cfg config.Site, path string) map[string]any {
		var d map[string]any
		if err := json.Unmarshal(fetch(wellKnownOf(cfg, t), http.MethodGet, path).Body.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	const as, resource, other = "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp/notion", "/.well-known/oauth-protected-resource/mcp"
	with := gateConfig()
	with.ServiceDocumentation = "https://docs.example/"
	with.Servers[0].ResourceDocumentation, with.Servers[0].ResourcePolicyURI, with.Servers[0].ResourceTOSURI = "https://docs.example/n", "https://docs.example/p", "https://docs.example/t"
	for path, want := range map[string]map[string]any{
		as:       {"service_documentation": "https://docs.example/"},
		resource: {"resource_documentation": "https://docs.example/n", "resource_policy_uri": "https://docs.example/p", "resource_tos_uri": "https://docs.example/t"},
		other:    {},
	} {
		got := document(with, path)
		for _, member := range members {
			if got[member] != want[member] {
				t.Errorf("%s: %s = %v, want %v", path, member, got[member], want[member])
			}
		}
	}
	for _, path := range []string{as, resource} {
		for _, member := range members {
			if _, has := document(gateConfig(), path)[member]; has {
				t.Errorf("%s has an empty %s", path, member)
			}
		}
	}
}
