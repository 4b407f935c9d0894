package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// around returns a Caddyfile with other handlers around that of the site;
// %s stands for its block.
func (g *instance) around(global, site string) string {
	block := "mcp_oauth {\nidentity user_id\nserver a /mcp http://127.0.0.1:1/mcp\n}"
	before, _, _ := strings.Cut(g.caddyfile(""), "http://")
	before = strings.Replace(before, "{\n", "{\n"+global+"\n", 1)
	return fmt.Sprintf("%s\nhttp://%s {\nbind 127.0.0.1\n%s\n}\n", before, g.addr, strings.ReplaceAll(site, "%s", block))
}

// A template engine that is always around the handler is refused, whatever
// says so; one that may be is named, and one that is not, is nothing.
func TestTemplatesAround(t *testing.T) {
	const warning = "may change its pages"
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	for name, tt := range map[string]struct {
		global, site    string
		refused, warned bool
	}{
		"in front":                        {"", "route {\ntemplates\n%s\n}", true, false},
		"in front, by order":              {"order templates before mcp_oauth", "templates\n%s", true, false},
		"in front of a handle block":      {"order templates before handle", "templates\nhandle {\n%s\n}", true, false},
		"inside of a handle block":        {"order templates before mcp_oauth", "handle {\ntemplates\n%s\n}", true, false},
		"in front, with its own matcher":  {"", "route {\ntemplates /docs/*\n%s\n}", false, true},
		"in a handle block that goes on":  {"", "route {\nroute /docs/* {\ntemplates\n}\n%s\n}", false, true},
		"behind, as Caddy orders them":    {"", "templates\n%s\nfile_server", false, false},
		"behind":                          {"", "route {\n%s\ntemplates\n}", false, false},
		"in a handle block of its own":    {"", "handle /docs/* {\ntemplates\nfile_server\n}\nhandle {\n%s\n}", false, false},
		"in a handle block, by order too": {"order templates before mcp_oauth", "handle /docs/* {\ntemplates\n}\nhandle {\n%s\n}", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(g.log())
			err := loadCaddyfile(g.around(tt.global, tt.site))
			if refused := err != nil; refused != tt.refused || refused && !strings.Contains(err.Error(), "templates is around mcp_oauth") {
				t.Errorf("loaded: %v, want it refused: %t", err, tt.refused)
			}
			if got := strings.Contains(g.log()[before:], warning); got != tt.warned {
				t.Errorf("warned: %t, want %t", got, tt.warned)
			}
		})
	}
}

// What a stranger wrote means nothing to templates around the handler.
func TestTemplatesRunNothing(t *testing.T) {
	t.Setenv("CANARY", "the-operators-secret")
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	if err := loadCaddyfile(g.around("", "route {\ntemplates /* {\nmime text/html application/json text/plain\n}\n%s\n}")); err != nil {
		t.Fatal(err)
	}
	spell := "{{env `CANARY`}} {{placeholder `env.CANARY`}}"
	res := g.call("POST", "/register", `{"redirect_uris":["http://127.0.0.1/cb"],"client_name":"`+spell+`"}`, "Content-Type", "application/json")
	registration := body(t, res)
	clientID := regexpClientID.FindStringSubmatch(registration)
	if res.StatusCode != http.StatusCreated || clientID == nil {
		t.Fatalf("%d %s", res.StatusCode, registration)
	}
	pages := g.call("GET", "/authorize?response_type=code&client_id="+clientID[1]+"&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256", "")
	r, err := http.NewRequest("GET", g.url+pages.Header.Get("Location"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range pages.Cookies() {
		r.AddCookie(c)
	}
	res, err = once.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	page := body(t, res)
	for name, text := range map[string]string{"registration": registration, "page": page} {
		if strings.Contains(text, "the-operators-secret") || !strings.Contains(text, "CANARY") {
			t.Errorf("%s: %s", name, text)
		}
	}
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
}

var regexpClientID = regexp.MustCompile(`"client_id":"([^"]+)"`)

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
