package consent

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// bothPages returns what a person sees of a client before deciding.
func bothPages(t *testing.T, client clients.Client, redirectURI string) map[string]string {
	t.Helper()
	s := newSite(t)
	f := s.mustOpenFlow()
	f.Client, f.RedirectURI, f.Identity = &client, redirectURI, person(alice())
	return map[string]string{
		"identity": shown(t, s.pages.identity.show, "/", f).Body.String(),
		"services": shown(t, s.pages.services.show, "/", f).Body.String(),
	}
}

// shown returns a page of a flow that no client could begin like this.
func shown(t *testing.T, show flowHandler, target string, f *flows.Flow) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	if err := show(w, getRequest(target), f); err != nil {
		t.Fatal(err)
	}
	return w
}

func named(name string) clients.Client {
	return clients.Client{ID: "c", Origin: clients.Registered, Metadata: oauth.ClientMetadata{ClientName: name}}
}

func document(id, name string) clients.Client {
	return clients.Client{ID: id, Origin: clients.MetadataDocument, Metadata: oauth.ClientMetadata{ClientName: name}}
}

func TestClientAsShown_G04_H13_H14_H19(t *testing.T) {
	const loopback = "Any program on it can use this name"
	operators := named("Cursor")
	operators.Origin = clients.Preregistered
	tests := map[string]struct {
		client      clients.Client
		redirectURI string
		want        []string
		never       []string
	}{
		"impersonation G04": {
			named("Claude"), "https://evil.example/cb",
			[]string{`<dd class="host">evil.example</dd>`, "Not verified"}, []string{loopback, "Published by"},
		},
		"the operator's own": {
			operators, "https://app.example/cb",
			[]string{"Registered by the operator"}, []string{"Not verified", "Calls itself"},
		},
		"without a name": {
			named(""), "https://app.example/cb",
			[]string{"An application that gave no name wants to use", "Not verified"}, nil,
		},
		"a program by address H13": {
			document("https://claude.ai/c.json", "Claude"), "http://127.0.0.1:33418/cb",
			[]string{"a program on this computer (127.0.0.1:33418)", loopback, "claude.ai", "Not verified"}, []string{"another site"},
		},
		"a program by name H13": {
			named("x"), "http://localhost/cb",
			[]string{"a program on this computer (localhost)", loopback}, nil,
		},
		"a program by IPv6 H13": {
			named("x"), "http://[::1]:8/cb",
			[]string{"a program on this computer ([::1]:8)", loopback}, nil,
		},
		"not a program": {
			named("x"), "https://localhost.evil.example/cb",
			[]string{`<dd class="host">localhost.evil.example</dd>`}, []string{loopback},
		},
		"an app": {
			named("Cursor"), "cursor://anysphere.cursor-mcp/cb",
			[]string{"the app that opens cursor: links", "Any app can claim to open cursor: links"}, []string{loopback},
		},
		"an app by reversed domain": {
			named("x"), "com.example.app:/cb",
			[]string{"the app that opens com.example.app: links"}, nil,
		},
		"two hosts H14": {
			document("https://claude.ai/c.json", "Claude"), "https://evil.example/cb",
			[]string{"published by claude.ai but sends you to another site, evil.example"}, nil,
		},
		"one host": {
			document("https://claude.ai/c.json", "Claude"), "https://claude.ai:443/cb",
			[]string{`<dd class="host">claude.ai</dd>`}, []string{"another site"},
		},
		"another port is another site": {
			document("https://claude.ai/c.json", "Claude"), "https://claude.ai:8443/cb",
			[]string{"another site, claude.ai:8443"}, nil,
		},
		"look-alike host H19": {
			named("Claude"), "https://cl\u0430ude.ai/cb",
			[]string{`<dd class="host">xn--clude-5ve.ai</dd>`}, []string{"cl\u0430ude"},
		},
		"look-alike publisher H19": {
			document("https://cl\u0430ude.ai/c.json", "Claude"), "https://claude.ai/cb",
			[]string{"published by xn--clude-5ve.ai but sends you to another site, claude.ai"}, []string{"cl\u0430ude"},
		},
		"host in the user part": {
			named("x"), "https://claude.ai@evil.example/cb",
			[]string{`<dd class="host">evil.example</dd>`}, []string{"claude.ai"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for kind, page := range bothPages(t, tt.client, tt.redirectURI) {
				for _, want := range tt.want {
					if !strings.Contains(page, want) {
						t.Errorf("%s page: no %q", kind, want)
					}
				}
				for _, never := range tt.never {
					if strings.Contains(page, never) {
						t.Errorf("%s page: has %q", kind, never)
					}
				}
			}
		})
	}
}

// The whole redirect URI is there to read, below the host, however it is written.
func TestRedirectURIShown_D3_H19(t *testing.T) {
	shown := func(uri string) string { return `<dd class="address"><code>` + uri + `</code></dd>` }
	for redirectURI, want := range map[string]string{
		"https://app.example/oauth/cb?tenant=1&x=2":        shown("https://app.example/oauth/cb?tenant=1&amp;x=2"),
		"http://127.0.0.1:33418/callback":                  shown("http://127.0.0.1:33418/callback"),
		"cursor://anysphere.cursor-mcp/cb":                 shown("cursor://anysphere.cursor-mcp/cb"),
		"com.example.app:/cb":                              shown("com.example.app:/cb"),
		"https://cl\u0430ude.ai/cb":                        shown("https://xn--clude-5ve.ai/cb"),
		"https://app.example/\u202e%E2%80%AE/cb":           shown("https://app.example/%E2%80%AE%E2%80%AE/cb"),
		"https://app.example/\"><script>x</script>":        shown("https://app.example/%22%3E%3Cscript%3Ex%3C/script%3E"),
		"https://claude.ai@evil.example/cb":                shown("https://evil.example/cb"),
		"https://app.example/" + strings.Repeat("a", 2000): shown("https://app.example/" + strings.Repeat("a", 2000)),
	} {
		for kind, page := range bothPages(t, named("x"), redirectURI) {
			host, address := strings.Index(page, `<dd class="host">`), strings.Index(page, want)
			if address < 0 || host < 0 || address < host {
				t.Errorf("%s page: %q is not shown below its host", kind, redirectURI)
			}
		}
	}
}

// The name anybody can choose stands in the heading, in quotes, and nowhere else,
// not in the browser's tab either. The first that follows is the host where the
// code goes, and that nobody verified the name.
func TestNameIsOnceAndMarked_G04(t *testing.T) {
	for kind, page := range bothPages(t, named("Zaphod"), "https://evil.example/cb") {
		if n := strings.Count(page, "Zaphod"); n != 1 || !strings.Contains(page, "<h1>“\u2068Zaphod\u2069” wants to use ") {
			t.Errorf("%s page: the name appears %d times, or not in the heading", kind, n)
		}
		_, after, _ := strings.Cut(page, "</h1>")
		host, mark := strings.Index(after, "evil.example"), strings.Index(after, "Not verified")
		first := strings.Index(after, "<dd")
		if host < 0 || strings.Count(after[:host], "<dd") != 1 || mark < host || strings.Index(after, "<form") < mark || first > host {
			t.Errorf("%s page: host at %d, mark at %d of:\n%s", kind, host, mark, after)
		}
	}
}

// Nothing a client registered is more than text, and no address of it is used.
func TestMetadataIsInert_G05(t *testing.T) {
	client := clients.Client{ID: "c", Origin: clients.Registered, Metadata: oauth.ClientMetadata{
		ClientName: `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`,
		ClientURI:  "javascript:alert(2)", LogoURI: "https://evil.example/logo.png",
		PolicyURI: "https://evil.example/policy", TOSURI: "data:text/html,x", Contacts: []string{"<b>me</b>"},
	}}
	for kind, page := range bothPages(t, client, "https://app.example/cb") {
		for _, never := range []string{"<script", "<img", "onerror=alert(1)>\"", "javascript:", "evil.example", "data:text", "<b>me"} {
			if strings.Contains(page, never) {
				t.Errorf("%s page: has %q", kind, never)
			}
		}
		if !strings.Contains(page, "&lt;script&gt;") {
			t.Errorf("%s page: the name is not shown as text", kind)
		}
	}
}
