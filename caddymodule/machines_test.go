package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func secretOf(client string) string { return client + "-secret-0123456789abcdef" }

// machines returns the configuration of clients that get tokens for themselves.
func machines(options string, ids ...string) string {
	var lines strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&lines, "client %s {\nsecret sha256:%x\nclient_credentials\n%s\n}\n", id, storage.HashOf(secretOf(id)), options)
	}
	return lines.String()
}

// machineToken is what such a client gets.
func (g *instance) machineToken(id string) string {
	g.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secretOf(id)}}.Encode()
	answer := status(g.t, g.call("POST", "/api/oauth/per-user/token", form, "Authorization", "", "Content-Type", "application/x-www-form-urlencoded"), http.StatusOK)
	if strings.Contains(answer, "refresh_token") {
		g.t.Errorf("%s got a refresh token: %s", id, answer)
	}
	return accessToken(g.t, answer)
}

// calledBy calls the server with a token.
func (g *instance) calledBy(token string) *http.Response {
	g.t.Helper()
	return g.call("POST", "/mcp", toolCall, "Authorization", "Bearer "+token, "Content-Type", "application/json")
}

// start returns the link on which an operator connects a server for a program.
func (g *instance) start(addr, subject string) string {
	g.t.Helper()
	var started adminapi.StartedConnection
	answer := admin(g.t, addr, "POST", "/mcp_oauth/connections/notion/start?subject="+url.QueryEscape(subject), http.StatusOK)
	if err := json.Unmarshal([]byte(answer), &started); err != nil || started.Subject != subject || started.Status != "pending" {
		g.t.Fatalf("started %s, %v", answer, err)
	}
	return started.AuthorizeURL
}

// A program has an account of its own, which an operator connects for it on a link
// that works once.
func TestServicePersonConnects_K22(t *testing.T) {
	notion := newService(t)
	lines := people("alice") + machines("", "batch", "other") + notion.server()
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	token := g.machineToken("batch")
	if got := status(t, g.calledBy(token), http.StatusOK); !strings.Contains(got, "caddy mcp-oauth connections start notion --subject 'client:batch'") ||
		!strings.Contains(got, `"isError":true`) || strings.Contains(got, "/oauth/connect/") {
		t.Errorf("not connected: %s", got)
	}
	list := g.call("POST", "/mcp", `{"jsonrpc":"2.0","id":8,"method":"tools/list"}`, "Authorization", "Bearer "+token, "Content-Type", "application/json")
	if got := status(t, list, http.StatusForbidden); !strings.Contains(got, "connections start notion") {
		t.Errorf("another request: %s", got)
	}
	for path, want := range map[string]int{
		"/mcp_oauth/connections/notion/start?subject=client:nobody":         http.StatusNotFound,
		"/mcp_oauth/connections/notion/start?subject=virtual_key:alice":     http.StatusNotFound,
		"/mcp_oauth/connections/elsewhere/start?subject=client:batch":       http.StatusNotFound,
		"/mcp_oauth/connections/notion/start?subject=workload:github:o%2Fr": http.StatusNotFound,
	} {
		admin(t, addr, "POST", path, want)
	}
	link := g.start(addr, "client:batch")
	operator := g.person("operator")
	operator.account = "robot"
	page := operator.visit(link)
	if !strings.Contains(page.Body, "client:batch") || page.Status != http.StatusOK {
		t.Fatalf("the page of the link: %d %s", page.Status, page.Body)
	}
	operator.follow(link)
	if got := status(t, g.calledBy(token), http.StatusOK); !strings.Contains(got, `"account":"robot"`) {
		t.Errorf("connected: %s", got)
	}
	if again := g.person("thief").visit(link); again.Status != http.StatusGone {
		t.Errorf("the link again: %d %s", again.Status, again.Body)
	}
	// Nobody else got anything by that.
	if got := status(t, g.calledBy(g.machineToken("other")), http.StatusOK); !strings.Contains(got, "--subject 'client:other'") {
		t.Errorf("another program: %s", got)
	}
	if got := status(t, g.person("alice").call(toolCall), http.StatusOK); !connectLink.MatchString(got) {
		t.Errorf("a person: %s", got)
	}
	if got := status(t, g.calledBy(g.machineToken("batch")), http.StatusOK); !strings.Contains(got, `"account":"robot"`) {
		t.Errorf("with its next token: %s", got)
	}
	// What was connected is listed, and ends; a link from before that is no good.
	before := g.start(addr, "client:batch")
	var all adminapi.Connections
	if err := json.Unmarshal([]byte(admin(t, addr, "GET", "/mcp_oauth/connections?subject=client:batch", http.StatusOK)), &all); err != nil || len(all.Connections) != 1 {
		t.Fatalf("connections %+v, %v", all, err)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/connections/"+all.Connections[0].ID, http.StatusOK)
	if got := status(t, g.calledBy(token), http.StatusOK); !strings.Contains(got, "connections start") {
		t.Errorf("disconnected: %s", got)
	}
	if late := operator.visit(before); late.Status != http.StatusGone {
		t.Errorf("a link from before: %d %s", late.Status, late.Body)
	}
	// Nor is one when the client has another secret, or is gone.
	last := g.start(addr, "client:batch")
	g.load(strings.Replace(g.caddyfile(people("alice")+machines("", "other")+notion.server()), "admin off", "admin "+addr, 1))
	if gone := operator.visit(last); gone.Status == http.StatusOK {
		t.Errorf("a link for a client that is gone: %d %s", gone.Status, gone.Body)
	}
	if got := g.calledBy(token); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token of a client that is gone: %d", got.StatusCode)
	}
}

// Whoever cannot start a connection reads the true reason: first whether there is such a
// server, then how accounts are there, then for whom.
func TestWhyNoConnectionStarts(t *testing.T) {
	notion := newService(t)
	options := func(servers string) string { return people("alice") + "insecure_allow_loopback\n" + servers }
	server := func(id, auth string) string {
		return fmt.Sprintf("server %s /%[1]s %s/mcp {\n%s\n}\n", id, notion.URL, auth)
	}
	lines := options(server("notion", "auth per_user_oauth") + server("tracker", "auth oauth") + server("open", "auth none") +
		server("keyed", "auth headers {\nX-Key {env.PATH}\n}") + machines("", "batch") + machines("servers tracker", "narrow"))
	g := newGateway(t, lines)
	addr, otherAddr := freeAddr(t), freeAddr(t)
	other := "http://" + otherAddr // where nothing is connected
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1) +
		fmt.Sprintf("%s {\nbind 127.0.0.1\nmcp_oauth {\n%s}\n}\n", other, options(server("wiki", "")+server("open", "")+machines("", "lonely"))))
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"trakcer/start":                            {404, `there is no server "trakcer"; did you mean tracker?`},
		"jira/start?subject=client:batch":          {404, `there is no server "jira"; use one of: `},
		"tracker/start?site=" + other:              {404, `there is no server "tracker"; use one of: wiki, open`},
		"wiki/start":                               {409, `no account is connected at server "wiki": it has no auth, or auth none`},
		"open/start?subject=client:batch":          {409, `no account is connected at server "open": it has no auth, or auth none`},
		"keyed/start":                              {409, `no account is connected at server "keyed": the credential is in its auth headers`},
		"keyed/start?subject=client:nobody":        {409, `no account is connected at server "keyed": the credential is in its auth headers`},
		"notion/start":                             {409, `everybody has an account of their own at server "notion"`},
		"tracker/start?subject=client:batch":       {409, `everybody shares one account at server "tracker"; leave out subject`},
		"tracker/start?subject=client:nobody":      {409, `everybody shares one account at server "tracker"; leave out subject`},
		"notion/start?subject=client:nobody":       {404, `there is no program "client:nobody" at ` + g.url + ";"},
		"notion/start?subject=client:lonely":       {404, `there is no program "client:lonely" at ` + g.url + ";"},
		"notion/start?subject=virtual_key:alice":   {404, "people connect their accounts themselves"},
		"notion/start?subject=client:narrow":       {409, `client:narrow may not use server "notion"`},
		"notion/start?subject=client:batch":        {200, `"status":"pending"`},
		"tracker/start?site=" + g.url:              {200, `"status":"pending"`},
		"notion/start?site=http://nowhere.example": {404, `there is no site "http://nowhere.example"`},
	} {
		var failed struct{ Error string }
		answer := admin(t, addr, "POST", "/mcp_oauth/connections/"+path, want.status)
		if want.status != http.StatusOK && json.Unmarshal([]byte(answer), &failed) == nil {
			answer = failed.Error
		}
		wantIn(t, path, answer, want.text)
	}
	// Lists that are about one server do not take one without accounts for none.
	for _, list := range []string{"connections", "registrations"} {
		admin(t, addr, "GET", "/mcp_oauth/"+list+"?server=wiki", http.StatusOK)
	}
	wantIn(t, "registration", admin(t, addr, "DELETE", "/mcp_oauth/registrations/wiki", http.StatusNotFound), `no site registered itself, dynamically, for server \"wiki\"`)
	wantIn(t, "registration", admin(t, addr, "DELETE", "/mcp_oauth/registrations/wikki", http.StatusNotFound), `there is no server \"wikki\"; did you mean wiki?`)
	wantIn(t, "tools", admin(t, addr, "GET", "/mcp_oauth/tools?server=wikki", http.StatusNotFound), `there is no server \"wikki\"; did you mean wiki?`)
}

// People see nothing of the ways in that are for programs, and operators all of it.
func TestMachinesAmongPeople_I25(t *testing.T) {
	upstream := newService(t)
	lines := people("alice") + machines("servers notion", "batch") + upstream.server("optional") +
		"identity workload mesh spiffe://example.org {\njwks_uri http://127.0.0.1:1/keys\nallow claim:sub=spiffe://example.org/ns/*\n}\n"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	page := g.person("alice").accountPage()
	for _, word := range []string{"client of this site", "workload", "mesh", "batch"} {
		if strings.Contains(page, word) {
			t.Errorf("the account page has %q", word)
		}
	}
	token := g.machineToken("batch")
	status(t, g.calledBy(token), http.StatusOK)
	var grants adminapi.Grants
	if err := json.Unmarshal([]byte(admin(t, addr, "GET", "/mcp_oauth/grants?subject=client:batch", http.StatusOK)), &grants); err != nil || len(grants.Grants) != 1 {
		t.Fatalf("grants %+v, %v", grants, err)
	}
	for subject, want := range map[string]string{
		"client:bach":           `nobody is known here as \"client:bach\": there is no client with client_credentials \"bach\"; did you mean batch?`,
		"workload:mesh:":        `nobody is known here as \"workload:mesh:\": no identity workload has such a program`,
		"workload:other:x":      `nobody is known here as \"workload:other:x\": no identity workload has such a program`,
		"key:alice":             `that is how access rules name a virtual key; write virtual_key:alice`,
		"user:client:batch":     `that is how access rules name somebody; write client:batch`,
		"group:eng":             `that is how access rules name people; write which person you mean`,
		"virtual_key:alcie":     `nobody is known here as \"virtual_key:alcie\": there is no such virtual key`,
		"alice&client=bach":     `there is no client \"bach\"; did you mean batch?`,
		"virtual_key:x&name=me": `nobody is known here as \"virtual_key:x\"`,
	} {
		wantIn(t, subject, admin(t, addr, "GET", "/mcp_oauth/access?server=notion&subject="+subject, http.StatusNotFound), want)
	}
	for subject, want := range map[string]bool{"client:batch": true, "workload:mesh:spiffe://example.org/ns/x": true, "alice&client=batch": true, "user_id:x": false} {
		var may adminapi.Access
		answer := admin(t, addr, "GET", "/mcp_oauth/access?server=notion&subject="+subject, http.StatusOK)
		if err := json.Unmarshal([]byte(answer), &may); err != nil || may.Allowed != want {
			t.Errorf("%s may: %s, %v; want %v", subject, answer, err, want)
		}
	}
	if got := g.logged(`"event":"token.issued"`); got != 1 {
		t.Errorf("%d lines about its token", got)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/people?subject=client:batch", http.StatusOK)
	if got := g.calledBy(token); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("after it was ended: %d", got.StatusCode)
	}
	status(t, g.calledBy(g.machineToken("batch")), http.StatusOK)
}

// Initial access tokens are made, listed and deleted by the admin API, and decide at
// once who may register.
func TestInitialAccessTokens_G21(t *testing.T) {
	upstream := newService(t)
	open := people("alice") + upstream.server("optional")
	lines := open + "registration {\ninitial_access_token required\n}\n"
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	create := func(body string, want int) (token adminapi.InitialToken) {
		t.Helper()
		answer := adminSend(t, addr, "POST", "/mcp_oauth/initial_access_tokens", body, want)
		if err := json.Unmarshal([]byte(answer), &token); want == http.StatusCreated && (err != nil || !strings.HasPrefix(token.Token, "mcpit_")) {
			t.Fatalf("made %s, %v", answer, err)
		}
		return token
	}
	registers := func(token string, want int) {
		t.Helper()
		var headers []string
		if token != "" {
			headers = []string{"Authorization", "Bearer " + token}
		} else {
			headers = []string{"Authorization", ""}
		}
		status(t, g.call("POST", "/register", `{"redirect_uris":["http://127.0.0.1/cb"]}`, append(headers, "Content-Type", "application/json")...), want)
	}
	for body, want := range map[string]int{
		`{}`: 400, `{"name":"a","uses":0}`: 400, `{"name":"a","uses":"1"}`: 400, `{"name":"a","expires_in":"-1h"}`: 400, `{"name":"a","x":1}`: 400,
		`{"name":"a","expires_in":"1h","expires_at":"2027-01-01T00:00:00Z"}`: 400, `{"name":"a","expires_at":"2020-01-01T00:00:00Z"}`: 400,
	} {
		create(body, want)
	}
	registers("", http.StatusUnauthorized)
	partner := create(`{"name":"partner","expires_in":"30d","uses":2}`, http.StatusCreated)
	create(`{"name":"partner"}`, http.StatusConflict)
	registers(partner.Token, http.StatusCreated)
	var list adminapi.InitialTokens
	answer := admin(t, addr, "GET", "/mcp_oauth/initial_access_tokens", http.StatusOK)
	if err := json.Unmarshal([]byte(answer), &list); err != nil || len(list.InitialTokens) != 1 || *list.InitialTokens[0].UsesLeft != 1 || strings.Contains(answer, partner.Token) {
		t.Errorf("listed %s, %v", answer, err)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/initial_access_tokens/nobody", http.StatusNotFound)
	admin(t, addr, "DELETE", "/mcp_oauth/initial_access_tokens/partner", http.StatusOK)
	registers(partner.Token, http.StatusUnauthorized)
	if g.logged(`"event":"initial_access_token.made"`) != 1 || g.logged(`"event":"initial_access_token.deleted"`) != 1 || g.logged(partner.Token) != 0 {
		t.Error("the log does not tell what an operator did, or has the token")
	}
	g.load(strings.Replace(g.caddyfile(open), "admin off", "admin "+addr, 1))
	create(`{"name":"late"}`, http.StatusConflict) // nobody needs one
	registers("", http.StatusCreated)
}
