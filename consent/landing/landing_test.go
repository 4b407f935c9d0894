package landing

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

var update = flag.Bool("update", false, "write the table of clients into docs/clients.md")

// The page and docs/clients.md say the same of each client.
func TestClientsAreDocumented(t *testing.T) {
	const page = "../../docs/clients.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const head = "| client | how |\n|---|---|\n"
	before, table, found := strings.Cut(string(text), head)
	rows, after, ended := strings.Cut(table, "| scripts, CI,")
	if !found || !ended {
		t.Fatal("docs/clients.md has no table of clients")
	}
	var want strings.Builder
	for _, c := range Clients("wiki", "https://mcp.example.com/wiki/mcp") {
		want.WriteString("| " + c.Name + " | " + c.Before)
		if c.Copy != "" && c.Before != "" {
			want.WriteString(": ")
		}
		if c.Copy != "" {
			want.WriteString("`" + c.Copy + "`")
		}
		if c.After != "" {
			want.WriteString(", " + c.After)
		}
		want.WriteString(" |\n")
	}
	if rows == want.String() {
		return
	}
	if !*update {
		t.Fatalf("got\n%s\nwant\n%s\n(run this test with -update)", rows, want.String())
	}
	if err := os.WriteFile(page, []byte(before+head+want.String()+"| scripts, CI,"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func newLanding(t *testing.T, servers ...*config.Server) *Landing {
	t.Helper()
	p, err := pages.New(pages.Brand{Name: "Acme"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(&config.Site{Issuer: "https://mcp.example.com", Branding: &config.Branding{Name: "Acme"}, Servers: servers}, p)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func server(id string) *config.Server {
	return &config.Server{ID: id, Title: strings.ToUpper(id[:1]) + id[1:] + " <b>", Resource: "https://mcp.example.com/" + id + "/mcp"}
}

func get(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w
}

// What is to be copied reaches the person as it is to be typed, although braces
// and quotes are written in another way on a page.
func TestServerPage(t *testing.T) {
	w := get(newLanding(t, server("wiki"), server("notion")).Servers["wiki"])
	page := oauthtest.ReadPage(t, &url.URL{}, w.Body.String())
	for _, c := range Clients("wiki", "https://mcp.example.com/wiki/mcp") {
		page.MustShow(t, c.Name)
		if c.Copy != "" {
			page.MustShow(t, strings.Join(strings.Fields(c.Copy), " "))
		}
	}
	page.MustShow(t, "Wiki <b>", "https://mcp.example.com/wiki/mcp", "Then /mcp to sign in", "In ~/.cursor/mcp.json", "Your account")
	if strings.Contains(w.Body.String(), "otion") || strings.Contains(w.Body.String(), "<b>") {
		t.Errorf("the page tells of another server, or has a title as HTML:\n%s", w.Body)
	}
	if w.Code != http.StatusUnauthorized {
		t.Errorf("status = %d, want 401", w.Code)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Set-Cookie": "", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") || !strings.Contains(w.Body.String(), `<meta name="robots" content="noindex">`) {
		t.Errorf("policy %q", w.Header().Get("Content-Security-Policy"))
	}
}

// A stranger does not learn from the page of the site which servers there are,
// unless the metadata says it: of a single one.
func TestFrontPage(t *testing.T) {
	w := get(newLanding(t, server("wiki"), server("notion")).Front)
	page := oauthtest.ReadPage(t, &url.URL{}, w.Body.String())
	page.MustShow(t, "MCP servers at Acme", "Sign in to see which servers you may use", "Your account")
	if text := page.Text(); w.Code != http.StatusOK || strings.Contains(text, "Wiki") || strings.Contains(text, "notion") {
		t.Errorf("%d: %s", w.Code, text)
	}
	w = get(newLanding(t, server("wiki")).Front)
	page = oauthtest.ReadPage(t, &url.URL{}, w.Body.String())
	page.MustShow(t, "Wiki <b>", "https://mcp.example.com/wiki/mcp", "Claude Code")
	if w.Code != http.StatusOK {
		t.Errorf("status = %d, want 200", w.Code)
	}
}

func TestSegments(t *testing.T) {
	for text, want := range map[string][]segment{
		"":                     nil,
		"then `/mcp` to go on": {{"Then ", false}, {"/mcp", true}, {" to go on", false}},
		"`goose` → Add":        {{"goose", true}, {" → Add", false}},
		"über":                 {{"Über", false}},
	} {
		got := segments(text)
		if len(got) != len(want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
			continue
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%q: got %v, want %v", text, got[i], want[i])
			}
		}
	}
}
