package server

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// A person who opens a server's URL in a browser gets a page, and every client
// the very challenge that it gets where there is no such page.
func TestLanding(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	server := gateServer(f, "mcp")
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte("a page"))
	})
	const (
		chrome  = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
		firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	)
	navigates := func(accept string, more ...string) []string {
		return append([]string{"Accept", accept, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, more...)
	}
	for _, test := range []struct {
		name, method string
		header       []string
		page         bool
	}{
		{"Chrome", "GET", navigates(chrome, "Sec-Fetch-Site", "none", "Sec-Fetch-User", "?1"), true},
		{"Firefox", "GET", navigates(firefox, "Sec-Fetch-Site", "cross-site"), true},
		{"reads the head first", "HEAD", navigates(firefox), true},
		{"signed in at a proxy", "GET", navigates(firefox, "Authorization", "Basic YTpi"), true},
		{"inside another page", "GET", []string{"Accept", chrome, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, false},
		{"no navigation", "GET", []string{"Accept", chrome, "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "document"}, false},
		{"a form of another site", "POST", navigates(chrome, "Content-Type", "application/x-www-form-urlencoded"), false},
		{"a browser without fetch metadata", "GET", []string{"Accept", firefox}, false},
		{"a page's script", "GET", []string{"Accept", "text/html", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, false},
		{"a page's event stream", "GET", []string{"Accept", "text/event-stream", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, false},
		{"a download of an event stream", "GET", navigates("text/event-stream"), false},
		{"TypeScript SDK, stream", "GET", []string{"Accept", "text/event-stream", "Accept-Language", "*", "Sec-Fetch-Mode", "cors", "User-Agent", "node"}, false},
		{"TypeScript SDK, message", "POST", []string{"Accept", "application/json, text/event-stream", "Content-Type", "application/json", "Sec-Fetch-Mode", "cors"}, false},
		{"Go SDK, stream", "GET", []string{"Accept", "text/event-stream", "Mcp-Protocol-Version", "2025-11-25"}, false},
		{"Python SDK", "POST", []string{"Accept", "application/json, text/event-stream", "User-Agent", "python-httpx/0.28"}, false},
		{"Java's HttpURLConnection", "GET", []string{"Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}, false},
		{"curl", "GET", []string{"Accept", "*/*"}, false},
		{"nothing said", "GET", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var answers [2]*httptest.ResponseRecorder
			for i, landing := range []http.Handler{nil, page} {
				c, w := call(f.as.Gate(server, landing), test.method, mcpURL, test.header...)
				if c != nil || w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != bareMCP {
					t.Fatalf("got %d with %q, want 401 with %q", w.Code, w.Header().Get("WWW-Authenticate"), bareMCP)
				}
				answers[i] = w
			}
			if got := answers[1].Body.String() == "a page"; got != test.page {
				t.Errorf("got a page: %v, want %v", got, test.page)
			}
			if !test.page && raw(answers[0]) != raw(answers[1]) {
				t.Errorf("got  %s\nwant %s", raw(answers[1]), raw(answers[0]))
			}
		})
	}
	t.Run("a wrong token", func(t *testing.T) {
		_, w := call(f.as.Gate(server, page), "GET", mcpURL, navigates(chrome, "Authorization", "Bearer "+madeUpToken)...)
		if got := w.Header().Get("WWW-Authenticate"); got != invalidMCP || w.Body.String() == "a page" {
			t.Errorf("got %q %s", got, w.Body)
		}
	})
}

// gateServer is a server of the fixture.
func gateServer(f *gateFixture, id string) *config.Server { return f.as.cfg.Server(id) }

var correlationID = regexp.MustCompile(`"correlation_id":"[^"]*"`)

// raw is an answer as it is sent, but for what differs each time.
func raw(w *httptest.ResponseRecorder) string {
	dump := w.Body.String()
	for _, name := range []string{"Content-Type", "Content-Length", "Cache-Control", "Www-Authenticate", "X-Content-Type-Options", "Vary"} {
		dump += "\n" + name + ": " + w.Header().Get(name)
	}
	return correlationID.ReplaceAllString(dump, "")
}
