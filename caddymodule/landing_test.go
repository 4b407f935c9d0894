package caddymodule

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/neighbours"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/landing"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// asBrowser is what a browser sends in which somebody opens an address.
var asBrowser = []string{"Authorization", "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}

// Whoever opens the site itself sees what it is, if nobody else has an answer;
// whatever another handler answers stands, an empty or a failed answer too.
func TestFrontPage(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	empty, home := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "index.html"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		site string // further directives
		want int    // status
		ours bool
	}{
		"nothing":         {"", 200, true},
		"headers only":    {"header X-Mine yes\nencode gzip\nvars a b", 200, true},
		"another path":    {"respond /other mine", 200, true},
		"respond":         {"respond mine", 200, false},
		"empty answer":    {"respond 200", 200, false},
		"no content":      {"respond 204", 204, false},
		"handle":          {"handle {\nrespond mine\n}", 200, false},
		"handle_path":     {"handle_path /* {\nrespond mine\n}", 200, false},
		"redirect":        {"redir / /oauth/account", 302, false},
		"proxy":           {"reverse_proxy " + up.URL, 200, false},
		"files":           {"root * " + home + "\nfile_server", 200, false},
		"no such file":    {"root * " + empty + "\nfile_server", 404, false},
		"an error":        {"error 418", 418, false},
		"an error's page": {"error 418\nhandle_errors {\nrespond mine 418\n}", 418, false},
	} {
		t.Run(name, func(t *testing.T) {
			lines := alice + "server a /mcp http://127.0.0.1:1/mcp"
			g := newGateway(t, lines)
			g.load(strings.Replace(g.caddyfile(lines), "\tmcp_oauth {\n\t\tidentity", "\t"+test.site+"\n\tmcp_oauth {\n\t\tidentity", 1))
			body := status(t, g.call("GET", "/", "", asBrowser...), test.want)
			if got := strings.Contains(body, "claude mcp add --transport http a "+g.url+"/mcp"); got != test.ours {
				t.Errorf("got our page: %v, want %v:\n%s", got, test.ours, body)
			}
			if body := status(t, g.call("GET", "/", "", "Authorization", ""), test.want); strings.Contains(body, "claude") {
				t.Errorf("a program gets a page:\n%s", body)
			}
			if body, err := io.ReadAll(g.call("GET", "/nothing", "", asBrowser...).Body); err != nil || strings.Contains(string(body), "claude") {
				t.Errorf("another path gets the page: %v\n%s", err, body)
			}
		})
	}
	if up.Hits() == 0 {
		t.Error("the proxy was not asked")
	}
}

// The answer of a handler that Caddy does not come with stands as well: one that is
// empty, and one that was begun before the request was passed on.
func TestFrontPageBesidePlugins(t *testing.T) {
	h := &Handler{
		host:    neighbours.NewHost(&config.Site{Issuer: "http://site.example", PublicURL: "http://site.example"}),
		landing: &landing.Landing{Front: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ours") })},
	}
	passOn := func(r *http.Request) { caddyhttp.SetVar(r.Context(), "unhandled", true) } // as the last of Caddy's handlers
	for name, test := range map[string]struct {
		next caddyhttp.HandlerFunc
		want string
	}{
		"nobody": {func(_ http.ResponseWriter, r *http.Request) error { passOn(r); return nil }, "200 ours"},
		"silent": {func(http.ResponseWriter, *http.Request) error { return nil }, "200 "},
		"begun":  {func(w http.ResponseWriter, r *http.Request) error { w.WriteHeader(202); passOn(r); return nil }, "202 "},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://site.example/", nil)
			for i := 0; i < len(asBrowser); i += 2 {
				r.Header.Set(asBrowser[i], asBrowser[i+1])
			}
			w := httptest.NewRecorder()
			if err := h.pass(w, r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{})), test.next); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(w.Code, " ", w.Body); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Another host's front page is not ours.
func TestFrontPageOfAnotherHost(t *testing.T) {
	g := newGateway(t, alice+"public_url https://mcp.example.com\nserver a /mcp http://127.0.0.1:1/mcp")
	if body := status(t, g.call("GET", "/", "", asBrowser...), 200); body != "" {
		t.Errorf("got %s", body)
	}
}

// A browser at the URL of a server gets a page, under the challenge of clients.
func TestServerPage(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	client := g.call("GET", "/mcp", "", "Authorization", "", "Accept", "text/event-stream")
	res := g.call("GET", "/mcp", "", asBrowser...)
	body := status(t, res, http.StatusUnauthorized)
	if got, want := res.Header.Get("WWW-Authenticate"), client.Header.Get("WWW-Authenticate"); got != want || want == "" {
		t.Errorf("got %q, want %q", got, want)
	}
	if !strings.Contains(body, "claude mcp add --transport http a "+g.url+"/mcp") {
		t.Errorf("no page:\n%s", body)
	}
	if got := status(t, client, http.StatusUnauthorized); !strings.HasPrefix(got, "{") || client.Header.Get("Content-Type") != "application/json" {
		t.Errorf("a client gets %s", got)
	}
}
