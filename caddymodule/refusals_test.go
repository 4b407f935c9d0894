package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// refusal is a request that is refused, and what the log says of it. Wherever a
// request has room for a secret, there is one that looks so.
type refusal struct {
	name, method, path, body string
	header                   []string
	status                   int
	event, reason            string
}

const (
	wrong = "secret-canary-0123456789"
)

// Whatever is refused is one line of the default log, which says why. That the
// reference is in it, and no secret, is what every test of this package asserts in
// the end.
func TestRefusalsAreInTheLog(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	denies := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	redirects := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://elsewhere.example/mcp?token="+wrong)
		w.WriteHeader(http.StatusFound)
	})
	notion := newService(t)
	g := newGateway(t, alice+"registration {\nrate_limit 1000\n}\n"+
		"server up /up "+up.URL+" {\nscopes up:use\n}\nserver other /other "+up.URL+"\nserver down /down http://"+freeAddr(t)+"/mcp\n"+
		"server denies /denies "+denies.URL+"\nserver redirects /redirects "+redirects.URL+"\n"+notion.server())
	issued := g.signIn("client", g.url+"/up")
	token := accessToken(t, issued)
	var tokens struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(issued), &tokens); err != nil {
		t.Fatal(err)
	}
	client, code := g.client, g.code
	ended := accessToken(t, g.signIn("another", g.url+"/up"))
	g.revoke(ended)

	form := func(pairs ...string) string {
		values := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return values.Encode()
	}
	const as = "/api/oauth/per-user/"
	bearer := func(token string, more ...string) []string {
		return append([]string{"Authorization", "Bearer " + token, "Content-Type", "application/json"}, more...)
	}
	posted := []string{"Authorization", "", "Content-Type", formType}
	asJSON := []string{"Authorization", "", "Content-Type", "application/json"}
	authorize := func(pairs ...string) string {
		return as + "authorize?" + form(append([]string{
			"response_type", "code", "client_id", client, "redirect_uri", "http://127.0.0.1:7777/cb", "state", wrong,
			"code_challenge_method", "S256", "code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
		}, pairs...)...)
	}
	rows := []refusal{
		{"no token", "POST", "/up", initialize, bearer("", "Authorization", ""), 401, "gate.refused", "no_token"},
		{"two schemes", "POST", "/up", initialize, bearer("", "Authorization", "Basic "+wrong), 401, "gate.refused", "no_token"},
		{"two words", "POST", "/up", initialize, bearer("a " + wrong), 400, "gate.refused", "malformed_authorization"},
		{"made up", "POST", "/up", initialize, bearer(wrong), 401, "gate.refused", "token_not_issued"},
		{"revoked", "POST", "/up", initialize, bearer(ended), 401, "gate.refused", "token_ended"},
		{"another server's", "POST", "/other", initialize, bearer(token), 401, "gate.refused", "token_not_for_this"},
		{"web page", "POST", "/up", initialize, bearer(token, "Origin", "https://page.example"), 403, "gate.refused", "origin"},
		{"method", "PUT", "/up", "", bearer(token), 405, "call.refused", "method"},
		{"session", "POST", "/up", initialize, bearer(token, "Mcp-Session-Id", "x"), 404, "call.refused", "no_session"},
		{"account missing", "POST", "/mcp", strings.Replace(toolCall, "tools/call", "tools/list", 1), bearer(aliceKey), 403, "call.needs_account", "asked_in_words"},
		{"server down", "POST", "/down", initialize, bearer(aliceKey), 502, "server.unreachable", "unreachable"},
		{"credential denied", "POST", "/denies", initialize, bearer(aliceKey), 502, "server.misconfigured", "credential_denied"},
		{"redirect", "POST", "/redirects", initialize, bearer(aliceKey), 502, "server.misconfigured", "redirects"},
		{"no such document", "GET", "/.well-known/oauth-protected-resource/nothing", "", nil, 404, "request.refused", "not_found"},
		{"no such endpoint", "GET", as + "nothing", "", nil, 404, "request.refused", "not_found"},
		{"method of an endpoint", "GET", as + "token", "", nil, 405, "request.refused", "method"},

		{"register no JSON", "POST", as + "register", "x", asJSON, 400, "client.registration_refused", "invalid_client_metadata"},
		{"register a URI", "POST", as + "register", `{"redirect_uris":["http://elsewhere.example/cb"]}`, asJSON, 400, "client.registration_refused", "invalid_redirect_uri"},
		{"register an app", "POST", as + "register", `{"redirect_uris":["myeditor://callback"]}`, asJSON, 400, "client.registration_refused", "redirect_scheme"},
		{"read a registration", "GET", as + "register/" + client, "", bearer("mcpreg_" + wrong), 401, "request.refused", "invalid_token"},

		{"client missing", "GET", authorize("client_id", ""), "", nil, 400, "sign_in.refused", "client_id_missing"},
		{"client unknown", "GET", authorize("client_id", "6a1c1dd0-0f8d-4b2b-9a20-6d6f3f2b1e11"), "", nil, 400, "sign_in.refused", "client_unknown"},
		{"document", "GET", authorize("client_id", "https://127.0.0.1:1/client"), "", nil, 400, "sign_in.refused", "document_unusable"},
		{"redirect URI", "GET", authorize("redirect_uri", "https://elsewhere.example/cb?"+wrong), "", nil, 400, "sign_in.refused", "redirect_uri_unknown"},
		{"no PKCE", "GET", authorize("code_challenge", ""), "", nil, 400, "sign_in.refused", "pkce_missing"},
		{"plain PKCE", "GET", authorize("code_challenge_method", "plain"), "", nil, 400, "sign_in.refused", "pkce_method"},
		{"resource", "GET", authorize("resource", "https://elsewhere.example/"), "", nil, 400, "sign_in.refused", "invalid_target"},

		{"grant type", "POST", as + "token", form("grant_type", "password", "password", wrong), posted, 400, "token.refused", "unsupported_grant_type"},
		{"no code", "POST", as + "token", form("grant_type", "authorization_code", "client_id", client), posted, 400, "token.refused", "invalid_request"},
		{"made-up code", "POST", as + "token", form("grant_type", "authorization_code", "client_id", client, "code", "mcpac_"+wrong), posted, 400, "token.refused", "code_ended"},
		{"no code at all", "POST", as + "token", form("grant_type", "authorization_code", "client_id", client, "code", wrong), posted, 400, "token.refused", "not_a_code"},
		{"made-up refresh", "POST", as + "token", form("grant_type", "refresh_token", "client_id", client, "refresh_token", "mcprt_"+wrong), posted, 400, "token.refused", "token_unknown"},
		{"no refresh token", "POST", as + "token", form("grant_type", "refresh_token", "client_id", client, "refresh_token", wrong), posted, 400, "token.refused", "not_a_refresh_token"},
		{"client secret", "POST", as + "token", form("grant_type", "refresh_token", "client_id", client, "client_secret", wrong, "refresh_token", tokens.Refresh), posted, 401, "token.refused", "other_auth_method"},
		{"two ways", "POST", as + "token", form("grant_type", "refresh_token", "client_id", client, "client_secret", wrong, "client_assertion", wrong), posted, 400, "token.refused", "two_auth_methods"},
		{"code again", "POST", as + "token", form("grant_type", "authorization_code", "client_id", client, "code", code, "resource", g.url+"/up",
			"code_verifier", "a-verifier-of-at-least-forty-three-characters-x"), posted, 400, "token.refused", "reused"},
		{"refresh after that", "POST", as + "token", form("grant_type", "refresh_token", "client_id", client, "refresh_token", tokens.Refresh), posted, 400, "token.refused", "grant_ended"},
		{"revoke nothing", "POST", as + "revoke", form("client_id", client), posted, 400, "request.refused", "invalid_request"},
		{"introspect", "POST", as + "introspect", form("client_id", client, "token", token), posted, 401, "request.refused", "invalid_client"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			before := len(g.log())
			status(t, g.call(row.method, row.path, row.body, row.header...), row.status)
			wantRefusal(t, g.log()[before:], row)
		})
	}
	for line := range strings.Lines(g.log()) {
		if strings.Contains(line, "secret-canary") && !strings.Contains(line, `"level":"debug"`) {
			t.Errorf("a secret is in the log: %s", line)
		}
	}
}

// wantRefusal asserts that lines of the log say of a refusal what and why.
func wantRefusal(t *testing.T, lines string, want refusal) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var got struct{ Level, Event, Reason, Server, Address, Origin, Site string }
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if got.Event != want.event || got.Level == "debug" {
			continue
		}
		if got.Reason != want.reason || got.Address != "127.0.0.1" || got.Site == "" || got.Reason == "origin" && got.Origin != "https://page.example" {
			t.Errorf("got %+v, want %s because of %s, with who asked and where", got, want.event, want.reason)
		}
		return
	}
	t.Errorf("no line about %s (%s):\n%s", want.event, want.reason, lines)
}
