package caddymodule

import (
	"net/http"
	"strings"
	"testing"
)

// No web page can use the admin API: with or without JSON, whatever it asks for and
// wherever it says that it comes from.
func TestAdminRefusesWebPages(t *testing.T) {
	notion := newService(t)
	lines := people("alice") + strings.Replace(notion.server(), "per_user_oauth", "oauth", 1) + "\nidentity user_id\n"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	for name, headers := range map[string]map[string]string{
		"another origin":  {"Origin": "https://evil.example"},
		"an opaque one":   {"Origin": "null"},
		"no-cors":         {"Sec-Fetch-Mode": "no-cors"},
		"a form":          {"Sec-Fetch-Mode": "navigate", "Content-Type": "application/x-www-form-urlencoded"},
		"another name":    {"Host": "evil.example"},
		"of the site":     {"Origin": g.url},
		"from a referrer": {"Sec-Fetch-Mode": "cors", "Referer": "https://evil.example/"},
	} {
		for _, request := range []string{
			"POST /mcp_oauth/connections/notion/start", "POST /mcp_oauth/keys", "GET /mcp_oauth/people", "DELETE /mcp_oauth/people?subject=virtual_key:alice",
			"DELETE /api/oauth/config/notion", "GET /mcp_oauth/openapi.json",
		} {
			method, path, _ := strings.Cut(request, " ")
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(`{"name":"mallory"}`))
			if err != nil {
				t.Fatal(err)
			}
			for header, value := range headers {
				if header == "Host" {
					req.Host = value
				}
				req.Header.Set(header, value)
			}
			res, err := once.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusBadRequest || res.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s, %s: status %d, headers %v; want a refusal", name, request, res.StatusCode, res.Header)
			}
		}
	}
	// What is no browser and sends no JSON is refused where JSON is expected.
	admin(t, addr, "POST", "/mcp_oauth/keys", http.StatusUnsupportedMediaType)
	if got := admin(t, addr, "GET", "/mcp_oauth/keys", http.StatusOK); strings.Contains(got, "mallory") {
		t.Errorf("a web page made a key: %s", got)
	}
}
