package caddymodule

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

// registrationsAt asks the admin API for our registrations.
func registrationsAt(t *testing.T, addr string) []adminapi.Registration {
	t.Helper()
	var list struct{ Registrations []adminapi.Registration }
	text := admin(t, addr, "GET", "/mcp_oauth/registrations", http.StatusOK)
	if err := json.Unmarshal([]byte(text), &list); err != nil || list.Registrations == nil {
		t.Fatalf("got %v, error %v; want registrations", text, err)
	}
	return list.Registrations
}

// An operator drops a registration: the next person gets a new one, and what is
// connected stays so.
func TestAdminRegistrations(t *testing.T) {
	notion := newService(t)
	lines := people("alice", "bob") + notion.server("optional")
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	if got := registrationsAt(t, addr); len(got) != 0 {
		t.Errorf("before anybody connected: %+v", got)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/registrations/notion", http.StatusNotFound)
	alice := g.person("alice")
	alice.connect("notion")
	want := adminapi.Registration{Site: g.url, Server: "notion", Provider: notion.provider.URL, ClientID: "gateway"}
	got := registrationsAt(t, addr)
	if len(got) != 1 || got[0].ChangedAt.IsZero() {
		t.Fatalf("%+v", got)
	}
	if got[0].ChangedAt = want.ChangedAt; got[0] != want {
		t.Errorf("%+v, want %+v", got[0], want)
	}
	for _, wrong := range []struct {
		method, path string
		status       int
	}{
		{"DELETE", "/mcp_oauth/registrations/other", http.StatusNotFound},
		{"DELETE", "/mcp_oauth/registrations/notion?site=https://other.example", http.StatusNotFound},
		{"GET", "/mcp_oauth/registrations/notion", http.StatusMethodNotAllowed},
		{"DELETE", "/mcp_oauth/registrations", http.StatusMethodNotAllowed},
	} {
		admin(t, addr, wrong.method, wrong.path, wrong.status)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/registrations/notion?site="+g.url, http.StatusOK)
	if got := registrationsAt(t, addr); len(got) != 1 || got[0].ClientID != "" || got[0].Former != 1 {
		t.Errorf("dropped: %+v", got)
	}
	g.person("bob").connect("notion")
	if got := registrationsAt(t, addr); len(got) != 1 || got[0].ClientID != "gateway" || got[0].Former != 0 {
		t.Errorf("made anew, under the same name: %+v", got)
	}
}
