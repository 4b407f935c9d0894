package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

// lists are the routes that answer with a page, and what the list is called there.
var lists = map[string]string{
	"connections": "connections", "registrations": "registrations", "grants": "grants", "keys": "keys", "clients": "clients", "people": "people",
}

// pagesOf reads a list to its end, limit at a time, as JSON.
func pagesOf(t *testing.T, addr, list, query string, limit int) (all []string) {
	t.Helper()
	after := ""
	for range 100 {
		text := admin(t, addr, "GET", fmt.Sprintf("/mcp_oauth/%s?%s&limit=%d&after=%s", list, query, limit, url.QueryEscape(after)), http.StatusOK)
		var answer map[string]json.RawMessage
		var entries []json.RawMessage
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(answer[lists[list]], &entries); err != nil || entries == nil {
			t.Fatalf("%s: got %s, error %v; want a list", list, text, err)
		}
		if len(entries) > limit {
			t.Errorf("%s: %d entries on a page of %d", list, len(entries), limit)
		}
		for _, e := range entries {
			all = append(all, string(e))
		}
		if answer["next"] == nil {
			return all
		}
		if err := json.Unmarshal(answer["next"], &after); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s: the list has no end", list)
	return nil
}

// Whatever is listed comes page by page, whole and once, and a filter leaves what it
// says.
func TestAdminLists(t *testing.T) {
	notion, github := newService(t), newService(t)
	lines := people("alice", "bob", "carol") + notion.server("optional") +
		strings.NewReplacer("server notion /mcp", "server github /github", "insecure_allow_loopback\n", "").Replace(github.server("optional")) +
		"\nclient known {\nredirect_uri http://127.0.0.1/cb\n}\nclient other {\nredirect_uri http://127.0.0.1/cb\n}\n"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	for _, who := range []string{"alice", "bob", "carol"} {
		p := g.person(who)
		p.connect("notion")
		if who != "carol" {
			p.connect("github")
		}
		g.browser, g.identity, g.typed = nil, "vk", url.Values{"vk": {keyOf(who)}}
		accessToken(t, g.signIn("client of "+who, g.url+"/mcp"))
	}
	for list, want := range map[string]int{"connections": 5, "registrations": 2, "grants": 3, "keys": 3, "clients": 5, "people": 3} {
		whole := pagesOf(t, addr, list, "", 1000)
		if len(whole) != want {
			t.Errorf("%s: %d entries, want %d: %s", list, len(whole), want, whole)
		}
		for _, limit := range []int{1, 2, 3} {
			if got := pagesOf(t, addr, list, "", limit); !slices.Equal(got, whole) {
				t.Errorf("%s, %d at a time: got\n%s\nwant\n%s", list, limit, got, whole)
			}
		}
		admin(t, addr, "GET", "/mcp_oauth/"+list+"?color=red", http.StatusBadRequest)
		if got := admin(t, addr, "GET", "/mcp_oauth/"+list+"?site=https://other.example", http.StatusNotFound); !strings.Contains(got, g.url) {
			t.Errorf("%s of an unknown site: %s", list, got)
		}
		if list != "grants" && list != "keys" { // theirs are names
			admin(t, addr, "GET", "/mcp_oauth/"+list+"?after="+url.QueryEscape(g.url+" nowhere"), http.StatusBadRequest)
		}
	}
	for query, want := range map[string]int{
		"connections?subject=virtual_key:alice": 2, "connections?server=github": 2, "connections?status=authorized": 5, "connections?status=failed": 0,
		"connections?server=notion&subject=virtual_key:carol": 1, "connections?server=github&subject=virtual_key:carol": 0,
		"registrations?server=github":       1,
		"grants?subject=virtual_key:alice":  1,
		"grants?subject=virtual_key:nobody": 0, "grants?client=" + g.client: 1, "grants?server=notion": 3, "grants?server=github": 0,
		"grants?client=" + g.client + "&subject=virtual_key:carol": 1, "grants?client=" + g.client + "&subject=virtual_key:alice": 0,
		"keys?status=active": 3, "keys?status=disabled": 0, "keys?server=github": 3,
		"clients?origin=preregistered": 2, "clients?origin=registered&used=true": 3, "clients?used=false": 2,
		"grants?site=" + g.url: 3, "people?site=" + g.url: 3,
	} {
		list, filter, _ := strings.Cut(query, "?")
		for _, limit := range []int{1, 100} {
			if got := pagesOf(t, addr, list, filter, limit); len(got) != want {
				t.Errorf("%s, %d at a time: %d entries, want %d: %s", query, limit, len(got), want, got)
			}
		}
	}
	for query, want := range map[string]string{
		"connections?server=jira":    `there is no server \"jira\"; use one of: notion, github`,
		"grants?server=jira":         "there is no server",
		"keys?server=jira":           "there is no server",
		"registrations?server=jira":  "there is no server",
		"connections?subject=alice":  "begins with the way to sign in",
		"grants?subject=alice":       "begins with the way to sign in",
		"connections?status=working": "status is one of: authorized, pending, needs_reauth, expired, failed",
		"connections?status=":        "status is one of",
		"grants?client=":             "client is empty",
		"clients?used=perhaps":       "used is one of: true, false",
	} {
		list, filter, _ := strings.Cut(query, "?")
		status := http.StatusBadRequest
		if strings.Contains(query, "jira") {
			status = http.StatusNotFound
		}
		if got := admin(t, addr, "GET", "/mcp_oauth/"+list+"?"+filter, status); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

// An operator sees a client, whatever its origin, and deletes one that registered
// itself, with all that people approved for it.
func TestAdminClients(t *testing.T) {
	lines := alice + "server a /mcp http://127.0.0.1:1\nclient known {\nredirect_uri http://127.0.0.1/cb\nname \"A known one\"\n}\n"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	answer := g.signIn("<b>client", g.url+"/mcp")
	show := func(id string) (c adminapi.Client) {
		t.Helper()
		text := admin(t, addr, "GET", "/mcp_oauth/clients/"+url.PathEscape(id), http.StatusOK)
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if got := show("known"); got.Name != "A known one" || got.Origin != "preregistered" || got.Site != g.url || !slices.Equal(got.RedirectURIs, []string{"http://127.0.0.1/cb"}) {
		t.Errorf("configured: %+v", got)
	}
	if got := show(g.client); got.Name != "<b>client" || got.Origin != "registered" || !got.Used || got.CreatedAt.IsZero() || got.ExpiresAt.IsZero() {
		t.Errorf("registered: %+v", got)
	}
	admin(t, addr, "GET", "/mcp_oauth/clients/"+url.PathEscape("https://app.example/client.json"), http.StatusNotFound)
	admin(t, addr, "DELETE", "/mcp_oauth/clients/nobody", http.StatusNotFound)
	if got := admin(t, addr, "DELETE", "/mcp_oauth/clients/known", http.StatusConflict); !strings.Contains(got, "remove it there") {
		t.Errorf("deleting a configured one: %s", got)
	}
	if got := admin(t, addr, "DELETE", "/mcp_oauth/clients/"+g.client, http.StatusOK); !strings.Contains(got, `"grants":["`) {
		t.Errorf("deleted: %s", got)
	}
	admin(t, addr, "GET", "/mcp_oauth/clients/"+g.client, http.StatusNotFound)
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+accessToken(t, answer)), http.StatusUnauthorized)
	g.refresh(answer, http.StatusUnauthorized)
}

// All that somebody has is shown at once.
func TestAdminPerson(t *testing.T) {
	notion := newService(t)
	lines := people("alice", "bob") + notion.server("optional")
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	g.person("alice").connect("notion")
	g.browser, g.identity, g.typed = nil, "vk", url.Values{"vk": {keyOf("alice")}}
	accessToken(t, g.signIn("client", g.url+"/mcp"))
	text := admin(t, addr, "GET", "/mcp_oauth/people/virtual_key:alice", http.StatusOK)
	var p adminapi.Person
	if err := json.Unmarshal([]byte(text), &p); err != nil || len(p.Sites) != 1 {
		t.Fatalf("got %s, error %v; want what she has at one site", text, err)
	}
	there := p.Sites[0]
	if there.Site != g.url || there.Name != "alice" || len(there.Grants) != 1 || len(there.Connections) != 1 || len(there.Sessions) == 0 || there.Key == nil || there.Key.Name != "alice" {
		t.Errorf("%+v", there)
	}
	if got := admin(t, addr, "GET", "/mcp_oauth/people/virtual_key:bob", http.StatusOK); !strings.Contains(got, `"grants":[]`) {
		t.Errorf("who has a key alone: %s", got)
	}
	admin(t, addr, "GET", "/mcp_oauth/people/virtual_key:nobody", http.StatusNotFound)
	admin(t, addr, "GET", "/mcp_oauth/people/alice", http.StatusBadRequest)
	if got := admin(t, addr, "GET", "/mcp_oauth/people/"+url.PathEscape("oidc:https://idp.example/a"), http.StatusNotFound); !strings.Contains(got, "oidc:https://idp.example/a") {
		t.Errorf("a subject with slashes: %s", got)
	}
	if got := admin(t, addr, "GET", "/mcp_oauth/status", http.StatusOK); !strings.Contains(got, `"url":"`+g.url+`"`) || !strings.Contains(got, g.db()) || !strings.Contains(got, `"auth":"per_user_oauth"`) {
		t.Errorf("status: %s", got)
	}
}
