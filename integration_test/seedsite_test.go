package integration_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// seedSite is what the behaviours are shown on: a gateway in front of servers with
// every kind of credential, and one whose people approve at a dashboard.
type seedSite struct {
	gateway  *harness.Gateway
	provider *oauthtest.Provider
	static   *harness.Recorder

	dashed    *harness.Gateway
	dashboard *oauthtest.Dashboard
}

const (
	carolKey  = "vk-carol-0123456789abcdefghijklmnop" // for the server plain alone
	staticKey = "static-0123456789abcdefghijklmnopqrs"
)

func runSeed(t *testing.T) *seedSite {
	t.Helper()
	provider := oauthtest.NewProvider(t)
	notes := oauthtest.NewMCPServer(t, provider)
	static := harness.Record(t)
	s := &seedSite{provider: provider, static: static}
	s.gateway = harness.Run(t, harness.Config{
		Directives: identities + `virtual_key carol {env.CAROL_KEY} plain
		insecure_allow_loopback
		server plain /plain ` + harness.Record(t).URL + ` {
			resource_documentation https://docs.example.com/plain
			scopes plain:read
			optional_scopes plain:write
		}
		server notes /notes ` + notes.URL + oauthtest.MCPPath + ` {
			title Notes
			auth per_user_oauth {
				optional
				client_id {env.CLIENT_ID}
				client_secret {env.CLIENT_SECRET}
			}
		}
		server shared /shared ` + notes.URL + oauthtest.MCPPath + ` {
			auth oauth
		}
		server keyed /keyed ` + harness.ServeKeyed(t, map[string]string{"key-of-ada": harness.Ada}).URL + ` {
			auth per_user_headers {
				optional
				header ` + harness.KeyHeader + `
			}
		}
		server static /static ` + static.URL + ` {
			auth headers {
				Authorization "Bearer {env.STATIC_KEY}"
			}
		}`,
		Env: append([]string{"CAROL_KEY=" + carolKey, "STATIC_KEY=" + staticKey, "CLIENT_ID=gateway-of-env", "CLIENT_SECRET=secret-of-env-0123456789"}, keys...),
	})
	application := oauthtest.NewHost(t)
	s.dashboard = oauthtest.NewDashboard(t, application.URL, "mcp")
	application.Publish("/jwks.json", s.dashboard.KeySet(t))
	s.dashed = harness.Run(t, harness.Config{
		Directives: `identity dashboard {
			authorize_url ` + application.URL + `/oauth/authorize
			issuer ` + application.URL + `
			audience mcp
			jwks_uri ` + application.URL + `/jwks.json
			claims role displayName email
			consent there
		}
		insecure_allow_loopback
		access_token_format jwt
		access_token_claims email role displayName
		access_token_lifetime 30d
		server plain /mcp ` + harness.Record(t).URL + ` {
			resource_documentation https://docs.example.com/mcp
			scopes mcp
		}`,
	})
	return s
}

// get returns an answer, which must have the status, without following redirects.
func get(t *testing.T, address string, status int, header ...string) harness.Response {
	t.Helper()
	return request(t, http.MethodGet, address, "", status, header...)
}

func request(t *testing.T, method, address, body string, status int, header ...string) harness.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s %s: %d, want %d: %s", method, address, resp.StatusCode, status, text)
	}
	return harness.Response{Response: resp, Text: string(text)}
}

// document returns a JSON answer.
func document(t *testing.T, answer harness.Response) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(answer.Text), &members); err != nil || answer.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %v %s", err, answer.Header, answer.Text)
	}
	return members
}

// mustHave fails the test unless the members are as given, in pairs.
func mustHave(t *testing.T, members map[string]any, want ...any) {
	t.Helper()
	for i := 0; i < len(want); i += 2 {
		got, _ := json.Marshal(members[want[i].(string)])
		if expected, _ := json.Marshal(want[i+1]); string(got) != string(expected) {
			t.Errorf("%s is %s, want %s", want[i], got, expected)
		}
	}
}

const jsonType = "application/json"

const registration = `{"client_name":"Seed","client_uri":"https://seed.example","redirect_uris":["http://127.0.0.1/callback","https://seed.example/cb"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"]}`

// atServices returns a flow at the page on which a person decides, and its client.
func (s *seedSite) atServices(t *testing.T, b *harness.Browser, who harness.Person, path string) (*harness.Client, *oauthtest.Page) {
	t.Helper()
	client := s.gateway.Register(t, "http://127.0.0.1/callback")
	return client, b.Identify(t, b.Open(t, client.Link(s.gateway.URL+path)), who)
}

// approvedAt has the dashboard approve what a client asks, and returns what it is
// told. Members that differ come in pairs.
func (s *seedSite) approvedAt(t *testing.T, client *harness.Client, status int, changes ...string) map[string]any {
	t.Helper()
	link, err := url.Parse(client.Link(s.dashed.URL + "/mcp"))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{}
	for name, values := range link.Query() {
		members[name] = values[0]
	}
	for i := 0; i < len(changes); i += 2 {
		members[changes[i]] = changes[i+1]
	}
	body, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	token := s.dashboard.Token(t, "user-1", map[string]any{"email": "jane@acme.example", "role": "admin", "displayName": "Jane"})
	return document(t, request(t, http.MethodPost, s.dashed.URL+"/api/oauth/authorize", string(body), status, "Content-Type", jsonType, "Authorization", "Bearer "+token))
}

// redeemed returns the tokens for a code of approvedAt.
func (s *seedSite) redeemed(t *testing.T, client *harness.Client, code string, status int) map[string]any {
	t.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {client.Verifier},
		"redirect_uri": {client.RedirectURI}, "client_id": {client.ID},
	}
	return document(t, request(t, http.MethodPost, s.dashed.URL+"/api/oauth/token", form.Encode(), status, "Content-Type", "application/x-www-form-urlencoded"))
}

// claimsOf returns what a JWT says, without a look at its signature.
func claimsOf(t *testing.T, token any) (header, claims map[string]any) {
	t.Helper()
	text, _ := token.(string)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", text)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}
