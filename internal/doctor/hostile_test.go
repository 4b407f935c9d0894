package doctor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
)

// Whatever a server answers, the examination ends, and what it prints does nothing to a
// terminal.
func TestHostileServer(t *testing.T) {
	const escape = "\x1b]0;owned\x07\x1b[2J\u202e\r\n"
	for name, body := range map[string]string{
		"null":        "null",
		"list":        "[]",
		"text":        `"text"`,
		"empty":       "",
		"binary":      "\x00\xff\xfe",
		"deep":        strings.Repeat(`{"a":`, 20_000),
		"large":       `{"a":"` + strings.Repeat("x", 2<<20) + `"}`,
		"two":         `{"a":1}{"a":2}`,
		"other types": `{"resource":1,"authorization_servers":{"a":1},"issuer":[],"client_id":{},"error":[1],"result":"x","tools":3}`,
		"escapes":     `{"error":"` + strings.NewReplacer("\x1b", `\u001b`, "\x07", `\u0007`, "\r", `\r`, "\n", `\n`).Replace(escape) + `","error_description":"x"}`,
		"events":      "event: endpoint\ndata: " + escape + "\n\n",
	} {
		for _, at := range []string{mcpPage, resourcePage, providerPage, "as.example.com/register", authorizePag, "as.example.com/token"} {
			t.Run(name+" at "+at, func(t *testing.T) {
				t.Parallel()
				s := newSite()
				s.page(at, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
					w.Header().Set("Content-Type", "application/json")
					if name == "events" {
						w.Header().Set("Content-Type", mcp.EventStream)
					}
					w.Header().Set("WWW-Authenticate", `Bearer error="`+strings.Repeat("x", 9000)+`"`)
					w.WriteHeader([]int{200, 400, 401, 302}[len(r.URL.RawQuery+r.Method+r.Header.Get("Mcp-Method"))%4])
					_, _ = w.Write([]byte(body))
				})
				r := s.examine(t, Options{Token: goodToken})
				for _, c := range asText(t, r) {
					if c != '\n' && !unicode.IsPrint(c) {
						t.Fatalf("printed %q\n%q", c, asText(t, r))
					}
				}
			})
		}
	}
}

// A browser that is sent in a circle comes to an end.
func TestRedirectsInACircle(t *testing.T) {
	s := newSite()
	s.always(authorizePag, 302, "Location", issuer+"/authorize?again")
	s.always(resourcePage, 302, "Location", "https://"+resourcePage)
	if r := s.examine(t, Options{}); r.Outcome != Findings {
		t.Errorf("outcome %s", r.Outcome)
	}
}

// A server on the internet cannot send the machine that looks at it, to write a block
// for it, into the network of that machine.
func TestSuggestionAsksNobodyInside(t *testing.T) {
	for name, internet := range map[string]bool{"on the internet": true, "inside itself": false} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.WriteHeader(http.StatusNotFound)
			}))
			t.Cleanup(inside.Close)
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.URL.Path, "/.well-known/oauth-protected-resource") {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"resource": %q, "authorization_servers": [%q]}`, server.URL+"/mcp", inside.URL)
			}))
			t.Cleanup(server.Close)
			r := &Report{URL: server.URL + "/mcp", SignIn: "oauth", Issuer: inside.URL, Outcome: Findings}
			if _, err := r.Suggest(t.Context(), Options{internet: internet}, Names{}); err == nil {
				t.Error("a provider was found")
			}
			if n := asked.Load(); (n == 0) != internet {
				t.Errorf("a server inside was asked %d times", n)
			}
		})
	}
}

// What a server writes cannot be more than a URL in the block for it, which may go
// into a configuration as it is.
func TestOnlyPlainURLsAreSuggested(t *testing.T) {
	for _, text := range []string{"https://a.example/{env.SECRET}", "https://a.example/{$SECRET}", "https://a.example/\n}\nrespond x", "https://a.example/ x", "https://a.example/\"", "https://a.example/`"} {
		if (proposal{issuer: text}).spelt() || (proposal{resource: text}).spelt() {
			t.Errorf("%q would be written into a block", text)
		}
	}
	if !(proposal{issuer: "https://a.example/tenant/1"}).spelt() {
		t.Error("a plain URL would not")
	}
}
