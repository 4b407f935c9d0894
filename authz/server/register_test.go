package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const publicClient = `{"client_name":"c","redirect_uris":["http://127.0.0.1/cb"],"token_endpoint_auth_method":"none"}`

func TestRegister_AS35(t *testing.T) {
	ts := newTestServer(t)
	w := ts.send(http.MethodPost, RegisterPath, publicClient)
	reg := ts.registered(w, http.StatusCreated)
	if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" || h.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", h)
	}
	if uuid.Validate(reg.ID) != nil || reg.IssuedAt != testStart.Unix() || reg.AuthMethod != oauth.AuthNone || reg.ClientName != "c" ||
		!slices.Equal(reg.GrantTypes, []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}) || !slices.Equal(reg.RedirectURIs, []string{"http://127.0.0.1/cb"}) {
		t.Errorf("registered %+v", reg)
	}
	if reg.Secret != "" || reg.SecretExpires != nil {
		t.Error("a public client got a secret")
	}
	c, err := ts.lookup(reg.ID)
	if err != nil || c.Origin != clients.Registered || c.Metadata.ClientName != "c" {
		t.Errorf("lookup: %+v, %v", c, err)
	}
}

// Bodies seen from real clients.
func TestRegisterRealClients_AS34(t *testing.T) {
	for name, body := range map[string]string{
		"mcp-go, Gemini CLI": `{"client_name":"Gemini CLI MCP Client","redirect_uris":["http://localhost:7777/oauth/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","scope":""}`,
		"mcp-remote":         `{"redirect_uris":["http://localhost:3334/oauth/callback"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"],"response_types":["code"],"client_name":"MCP CLI Proxy","client_uri":"https://github.com/modelcontextprotocol/mcp-cli","software_id":"2e6dc280-f3c3-4e01-99a7-8181dbd1d23d","software_version":"0.15.1"}`,
		"VS Code":            `{"client_name":"Visual Studio Code","client_uri":"https://code.visualstudio.com","grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code"],"redirect_uris":["https://insiders.vscode.dev/redirect","https://vscode.dev/redirect","http://127.0.0.1/","http://127.0.0.1:33418/"],"token_endpoint_auth_method":"none","application_type":"native"}`,
		"Cursor":             `{"client_name":"Cursor","redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none"}`,
		"claude.ai":          `{"client_name":"Claude","redirect_uris":["https://claude.ai/api/mcp/auth_callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"scope":"mcp:use","token_endpoint_auth_method":"client_secret_post"}`,
		"Warp":               `{"client_name":"Warp","redirect_uris":["warp://mcp/oauth2callback"],"token_endpoint_auth_method":"none"}`,
		"Raycast":            `{"client_name":"Raycast MCP: x (dev)","redirect_uris":["raycast://oauth?package_name=mcp_server_x_(dev)"],"token_endpoint_auth_method":"none"}`,
		"least":              `{"redirect_uris":["http://127.0.0.1:49152/callback/0a1b"]}`,
	} {
		t.Run(name, func(t *testing.T) { newTestServer(t).register(body) })
	}
}

func TestRegisterConfidential_G18(t *testing.T) {
	ts := newTestServer(t)
	for _, method := range []string{oauth.AuthSecretBasic, oauth.AuthSecretPost} {
		reg := ts.register(`{"redirect_uris":["https://c.example/cb"],"token_endpoint_auth_method":"` + method + `"}`)
		if !strings.HasPrefix(reg.Secret, clientSecretPrefix) || reg.SecretExpires == nil || *reg.SecretExpires != 0 {
			t.Errorf("%s: %+v", method, reg)
		}
		record, err := ts.store.Client(t.Context(), reg.ID, ts.clock.Now())
		if err != nil || record.SecretHash == nil || *record.SecretHash != storage.HashOf(reg.Secret) {
			t.Errorf("stored %+v, %v", record, err)
		}
		stored, _ := json.Marshal(record)
		if bytes.Contains(stored, []byte(reg.Secret)) || bytes.Contains(stored, []byte(reg.Token)) {
			t.Error("a secret is stored in clear")
		}
		if w := ts.send(http.MethodGet, reg.path(), "", "Authorization", "Bearer "+reg.Token); strings.Contains(w.Body.String(), "client_secret\"") {
			t.Errorf("shown again: %s", w.Body)
		}
	}
}

// A client that did not say how it will send its secret may do either, or do
// without; one that said so does exactly that.
func TestRegisterWithoutMethod_AS35_C01(t *testing.T) {
	ways := func(ts *testServer, reg registration) [3]bool {
		_, err := ts.authenticate("192.0.2.1", []string{basicAuth(reg.ID, reg.Secret)})
		_, postErr := ts.authenticate("192.0.2.1", nil, "client_id", reg.ID, "client_secret", reg.Secret)
		c, noneErr := ts.authenticate("192.0.2.1", nil, "client_id", reg.ID)
		if noneErr == nil && c.Proved {
			t.Error("authenticated without the secret")
		}
		return [3]bool{err == nil, postErr == nil, noneErr == nil}
	}
	const body = `"redirect_uris":["https://c.example/cb"]`
	for method, want := range map[string][3]bool{
		"":                                 {true, true, true},
		`"token_endpoint_auth_method":"",`: {true, true, true},
		`"token_endpoint_auth_method":"client_secret_basic",`: {true, false, false},
		`"token_endpoint_auth_method":"client_secret_post",`:  {false, true, false},
	} {
		ts := newTestServer(t)
		reg := ts.register("{" + method + body + "}")
		if reg.AuthMethod == "" || reg.Secret == "" {
			t.Errorf("%s: registered %+v", method, reg)
		}
		if got := ways(ts, reg); got != want {
			t.Errorf("%s: Basic, post and none: %v, want %v", method, got, want)
		}
	}
	// An update that repeats what the answer said is a choice, and changes
	// nothing that people approved.
	ts := newTestServer(t)
	reg := ts.register("{" + body + "}")
	code := ts.approved(request("client_id", reg.ID, "redirect_uri", "https://c.example/cb"), alice).Get("code")
	status, again := ts.manage(http.MethodPut, reg, `{"client_id":"`+reg.ID+`","token_endpoint_auth_method":"`+reg.AuthMethod+`",`+body+"}")
	if status != http.StatusOK || again.AuthMethod != oauth.AuthSecretBasic || again.Secret != "" {
		t.Errorf("update: %d %+v", status, again)
	}
	if got, want := ways(ts, reg), [3]bool{true, false, false}; got != want {
		t.Errorf("after the update: Basic, post and none: %v, want %v", got, want)
	}
	r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, strings.NewReader(redemption(code, "redirect_uri", "-").Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", basicAuth(reg.ID, reg.Secret))
	ts.want(ts.reply(ts.serve(r)), http.StatusOK, "")
}

// A registration keeps the addresses that are good, and its answer says which.
func TestRegistrationKeepsGoodRedirectURIs(t *testing.T) {
	ts := newTestServer(t)
	const mixed = `{"client_name":"c","redirect_uris":["weird-scheme:/cb","` + testRedirect + `","javascript:alert(1)"],"token_endpoint_auth_method":"none"}`
	reg := ts.register(mixed)
	if !slices.Equal(reg.RedirectURIs, []string{testRedirect}) {
		t.Errorf("answered %q", reg.RedirectURIs)
	}
	ts.want(ts.redeem(reg.ID, ts.code("client_id", reg.ID)), http.StatusOK, "")
	for _, dropped := range []string{"weird-scheme:/cb", "javascript:alert(1)"} {
		if w := ts.authorizeRaw(request("client_id", reg.ID, "redirect_uri", dropped).Encode()); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", dropped, w.Code)
		}
	}
	status, again := ts.manage(http.MethodPut, reg, strings.Replace(mixed, "{", `{"client_id":"`+reg.ID+`",`, 1))
	if status != http.StatusOK || !slices.Equal(again.RedirectURIs, []string{testRedirect}) {
		t.Errorf("update: %d %q", status, again.RedirectURIs)
	}
	operators := clients.Client{ID: "c", Metadata: oauth.ClientMetadata{RedirectURIs: []string{testRedirect, "weird-scheme:/cb"}}}
	if err := operators.Complete(config.DefaultRegistration().RedirectSchemes); err == nil {
		t.Error("a mistake of the operator is dropped in silence")
	}
}

func TestRegisterRefused(t *testing.T) {
	const canary = "canary-0f3a"
	large := `{"client_name":"` + strings.Repeat("x", maxRegistrationLen) + `"}`
	for name, tc := range map[string]struct {
		body    string
		headers []string
		status  int
		code    string
	}{
		"C11 form":                {publicClient, []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, "invalid_client_metadata"},
		"C11 two types":           {publicClient, []string{"Content-Type", "application/json, text/html"}, 400, "invalid_client_metadata"},
		"C11 no type":             {publicClient, []string{"Content-Type", ""}, 400, "invalid_client_metadata"},
		"C12 too large":           {large, nil, 413, "invalid_client_metadata"},
		"no JSON":                 {canary, nil, 400, "invalid_client_metadata"},
		"array":                   {`[]`, nil, 400, "invalid_client_metadata"},
		"empty":                   {``, nil, 400, "invalid_client_metadata"},
		"trailing":                {publicClient + publicClient, nil, 400, "invalid_client_metadata"},
		"wrong type":              {`{"redirect_uris":"https://` + canary + `/"}`, nil, 400, "invalid_client_metadata"},
		"no redirect URI":         {`{}`, nil, 400, "invalid_redirect_uri"},
		"A05 dangerous scheme":    {`{"redirect_uris":["javascript:` + canary + `"]}`, nil, 400, "invalid_redirect_uri"},
		"G08 members twice":       {`{"redirect_uris":["https://c.example/"],"REDIRECT_URIS":["https://` + canary + `/"]}`, nil, 400, "invalid_client_metadata"},
		"G11 web and loopback":    {`{"redirect_uris":["http://localhost/"],"application_type":"web"}`, nil, 400, "invalid_redirect_uri"},
		"G10 unknown auth method": {`{"redirect_uris":["https://c.example/"],"token_endpoint_auth_method":"` + canary + `"}`, nil, 400, "invalid_client_metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			w := ts.send(http.MethodPost, RegisterPath, tc.body, tc.headers...)
			ts.refused(w, tc.status, tc.code)
			if strings.Contains(w.Body.String(), canary) {
				t.Errorf("C18: reflected: %s", w.Body)
			}
		})
	}
	t.Run("A18 other methods", func(t *testing.T) {
		ts := newTestServer(t)
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			w := ts.send(method, RegisterPath, publicClient)
			ts.refused(w, http.StatusMethodNotAllowed, "invalid_request")
			if !strings.Contains(w.Header().Get("Allow"), "POST") {
				t.Errorf("%s: Allow %q", method, w.Header().Get("Allow"))
			}
		}
	})
}

func TestReservedMembers_G07(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(`{"client_id":"chosen","client_secret":"chosen","trusted":true,"skip_consent":true,"registration_access_token":"chosen","used":true,` + publicClient[1:])
	if reg.ID == "chosen" || reg.Secret != "" || reg.Token == "chosen" {
		t.Errorf("taken: %+v", reg)
	}
	record, err := ts.store.Client(t.Context(), reg.ID, ts.clock.Now())
	if err != nil || record.Used || bytes.Contains(record.Metadata, []byte("chosen")) || bytes.Contains(record.Metadata, []byte("trusted")) {
		t.Errorf("stored %+v, %v", record, err)
	}
}

// Nothing that a client names is fetched when it registers, not even where it
// could be.
func TestNothingFetched_G06(t *testing.T) {
	ts := newTestServer(t)
	ts.allowLoopback()
	address, dialled := oauthtest.NewListener(t)
	ts.register(fmt.Sprintf(`{"redirect_uris":["https://%[1]s/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://%[1]s/jwks",`+
		`"logo_uri":"https://%[1]s/logo","sector_identifier_uri":"https://%[1]s/sector","client_uri":"https://%[1]s/","software_statement":"e30.e30.",`+
		`"tos_uri":"https://%[1]s/tos","policy_uri":"https://%[1]s/policy"}`, address))
	if n := dialled(); n != 0 {
		t.Errorf("dialled %d times", n)
	}
}

func TestForeignRegistration_F11(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(publicClient)
	ts.reload(func(c *siteConfig) { c.Issuer = "https://other.example.com" })
	if _, err := ts.lookup(reg.ID); oauth.AsError(err).Code != "invalid_client" {
		t.Errorf("lookup: %v", err)
	}
	w := ts.send(http.MethodGet, reg.path(), "", "Authorization", "Bearer "+reg.Token)
	ts.refused(w, http.StatusUnauthorized, "invalid_token")
}

func BenchmarkRegister(b *testing.B) {
	ts := newTestServer(b, func(c *siteConfig) { c.Registration.RateLimit = new(0) })
	b.ReportAllocs()
	for b.Loop() {
		ts.register(publicClient)
	}
}

// A registration is read back as it was written, and means nothing to a
// template engine on the way.
func TestRegisterIsInert(t *testing.T) {
	ts := newTestServer(t)
	w := ts.send(http.MethodPost, RegisterPath, `{"redirect_uris":["http://127.0.0.1/cb"],"client_name":"{{env `+"`X`"+`}} ${X} [[x]]"}`)
	if reg := ts.registered(w, http.StatusCreated); reg.ClientName != "{{env `X`}} ${X} [[x]]" {
		t.Errorf("registered as %q", reg.ClientName)
	}
	if body := w.Body.String(); strings.Contains(body, "{{") || strings.Contains(body, "${") || strings.Contains(body, "[[") {
		t.Errorf("a template: %s", body)
	}
}
