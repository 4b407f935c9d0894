package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// grantsAt asks the admin API for grants.
func grantsAt(t *testing.T, addr, query string) adminapi.Grants {
	t.Helper()
	var list adminapi.Grants
	text := admin(t, addr, "GET", "/mcp_oauth/grants"+query, http.StatusOK)
	if err := json.Unmarshal([]byte(text), &list); err != nil || list.Grants == nil {
		t.Fatalf("got %v, error %v; want grants", text, err)
	}
	return list
}

// refresh asks for new tokens, and expects a status.
func (g *instance) refresh(answer string, want int) string {
	g.t.Helper()
	_, rest, _ := strings.Cut(answer, `"refresh_token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	return status(g.t, g.call("POST", "/api/oauth/per-user/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {g.client},
	}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), want)
}

// D15, E18: an operator ends a grant, with its tokens and open streams, and
// nothing else.
func TestOperatorEndsAGrant_D15_E18(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	lines := alice + "server a /mcp " + up.URL
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	if list := grantsAt(t, addr, ""); len(list.Grants) != 0 {
		t.Errorf("before anybody signed in: %+v", list)
	}
	other := accessToken(t, g.signIn("other", g.url+"/mcp"))
	answer := g.signIn("<b>client", g.url+"/mcp")
	token := accessToken(t, answer)
	answer = g.refresh(answer, http.StatusOK)
	stream := g.call("GET", "/mcp", "", "Authorization", "Bearer "+token).Body
	if got, err := readEvent(stream); got != "open" {
		t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}
	list := grantsAt(t, addr, "")
	i := slices.IndexFunc(list.Grants, func(one adminapi.Grant) bool { return one.ClientID == g.client })
	if len(list.Grants) != 2 || i < 0 || list.Next != "" {
		t.Fatalf("%+v", list)
	}
	one := list.Grants[i]
	if one.Site != g.url || one.ClientName != "<b>client" || !strings.HasPrefix(one.Subject, "anonymous:") || !slices.Equal(one.Scopes, []string{"mcp:use"}) ||
		!slices.Equal(one.Resources, []string{g.url + "/mcp"}) || one.CreatedAt.IsZero() || one.LastUsedAt.Before(one.CreatedAt) || !one.ExpiresAt.After(one.CreatedAt) {
		t.Errorf("%+v", one)
	}
	if got := admin(t, addr, "DELETE", "/mcp_oauth/grants/"+one.ID, http.StatusOK); strings.TrimSpace(got) != `{"ended":["`+one.ID+`"]}` {
		t.Errorf("ended: %s", got)
	}
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusUnauthorized) // at once, though it was just believed
	if got := g.refresh(answer, http.StatusBadRequest); !strings.Contains(got, `"invalid_grant"`) {
		t.Errorf("refresh: %s", got)
	}
	stateOf(t, g).recheck(context.Background())
	if got, err := readEvent(stream); !errors.Is(err, io.EOF) {
		t.Errorf("the stream goes on: %q, %v", got, err)
	}
	if body, err := readEvent(g.call("GET", "/mcp", "", "Authorization", "Bearer "+other).Body); body != "open" {
		t.Errorf("another grant: %q, %v", body, err)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/grants/"+one.ID, http.StatusNotFound)
	if got, want := g.log(), `"event":"grant.ended"`; !strings.Contains(got, want) {
		t.Errorf("the log has no %q:\n%s", want, got)
	}
}

// D09: an operator ends all that a person approved, at every site, page by page.
func TestOperatorEndsAPersonsGrants_D09(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := people("alice", "bob") + "server a /mcp " + up.URL
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	tokens := map[string]string{}
	for _, who := range []string{"alice", "alice", "bob"} {
		g.identity, g.typed = "vk", url.Values{"vk": {keyOf(who)}}
		tokens[who] = accessToken(t, g.signIn("client", g.url+"/mcp"))
	}
	first := grantsAt(t, addr, "?limit=2")
	second := grantsAt(t, addr, "?limit=2&after="+first.Next)
	if len(first.Grants) != 2 || len(second.Grants) != 1 || second.Next != "" || first.Grants[1].ID >= second.Grants[0].ID {
		t.Fatalf("%+v\n%+v", first, second)
	}
	if list := grantsAt(t, addr, "?subject=virtual_key:alice"); len(list.Grants) != 2 || list.Grants[0].Subject != "virtual_key:alice" {
		t.Errorf("of Alice: %+v", list)
	}
	for _, want := range []int{2, 0} {
		var answer struct{ Ended []string }
		text := admin(t, addr, "DELETE", "/mcp_oauth/grants?subject=virtual_key:alice", http.StatusOK)
		if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Ended == nil || len(answer.Ended) != want {
			t.Errorf("%v %s", err, text)
		}
	}
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+tokens["alice"]), http.StatusUnauthorized)
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+tokens["bob"]), http.StatusOK)
	if list := grantsAt(t, addr, ""); len(list.Grants) != 1 || list.Grants[0].Subject != "virtual_key:bob" {
		t.Errorf("left: %+v", list)
	}
	for query, want := range map[string]int{"?limit=0": 400, "?limit=1001": 400, "?limit=x": 400} {
		admin(t, addr, "GET", "/mcp_oauth/grants"+query, want)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/grants", 400) // nobody means everybody
	admin(t, addr, "POST", "/mcp_oauth/grants", 405)
	admin(t, addr, "GET", "/mcp_oauth/grants/x", 404)
	// The store failing is no empty list.
	if err := stateOf(t, g).store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"", "?subject=virtual_key:bob"} {
		admin(t, addr, "GET", "/mcp_oauth/grants"+query, 503)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/grants/x", 503)
	if _, _, err := stateOf(t, g).store.Grants(t.Context(), "", 1, storage.Grant{}.CreatedAt); !errors.Is(err, storage.ErrClosed) {
		t.Error(err)
	}
}
