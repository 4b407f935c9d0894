package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// withBatch adds the client batch, which gets tokens for itself at these servers.
func withBatch(servers ...string) func(*siteConfig) { return withBatchOf(testSecret, servers...) }

func withBatchOf(secret string, servers ...string) func(*siteConfig) {
	return func(c *siteConfig) {
		h := storage.HashOf(secret)
		batch := config.Client{ID: "batch", Name: "Nightly batch", SecretHash: &h, ClientCredentials: true, Servers: servers}
		c.Clients = append(withoutBatch(c.Clients), clients.Client{
			ID: "batch", SecretHash: &h, Service: new(batch.Service()), ServiceLifetime: 10 * time.Minute,
			Metadata: oauth.ClientMetadata{ClientName: batch.Name, GrantTypes: []string{oauth.GrantClientCredentials}},
		})
		c.SignIn = append(c.SignIn.ForPeople(), identity.ByClientCredentials([]identity.Service{batch.Service()}))
	}
}

func withoutBatch(all []clients.Client) []clients.Client {
	return slices.DeleteFunc(slices.Clone(all), func(c clients.Client) bool { return c.ID == "batch" })
}

// credentials asks for a token with the client's own credentials.
func (ts *testServer) credentials(client, secret string, changes ...string) reply {
	ts.t.Helper()
	form := with(url.Values{"grant_type": {oauth.GrantClientCredentials}}, changes...)
	r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		r.SetBasicAuth(client, url.QueryEscape(secret))
	}
	return ts.reply(ts.serve(r))
}

// RFC 6749 section 4.4.
func TestClientCredentials_C21(t *testing.T) {
	ts := newTestServer(t, withBatch())
	got := ts.credentials("batch", testSecret, "resource", notionResource)
	ts.want(got, http.StatusOK, "")
	if got.Access == "" || got.Refresh != "" || got.Expires != 600 || got.Scope != "mcp:use" {
		t.Errorf("answer %s", got.body)
	}
	if status, _ := ts.through("notion", got.Access); status != http.StatusOK {
		t.Errorf("a call gets %d", status)
	}
	if status, _ := ts.through("main", got.Access); status != http.StatusUnauthorized {
		t.Errorf("a call of another server gets %d", status)
	}
	var told map[string]any
	if err := json.Unmarshal([]byte(ts.introspect("inspector", got.Access).body), &told); err != nil {
		t.Fatal(err)
	}
	if told["sub"] != "client:batch" || told["client_id"] != "batch" || told["active"] != true {
		t.Errorf("introspection %v", told)
	}
	lines := ts.logged(event.TokenIssued).All()
	if len(lines) != 1 {
		t.Fatalf("%d lines about the token", len(lines))
	}
	fields := lines[0].ContextMap()
	for name, want := range map[string]any{"reason": "client_credentials", "person": "client:batch", "identity": "client", "client_id": "batch", "server": "notion"} {
		if fields[name] != want {
			t.Errorf("the log has %s %v, want %v", name, fields[name], want)
		}
	}
	ts.clock.Advance(10 * time.Minute)
	if status, _ := ts.through("notion", got.Access); status != http.StatusUnauthorized {
		t.Errorf("after ten minutes a call gets %d", status)
	}
}

// Whoever an operator did not configure for it gets nothing.
func TestClientCredentialsRefused_C21(t *testing.T) {
	ts := newTestServer(t, withBatch("notion"))
	registered := ts.register(`{"redirect_uris":["https://app.example/cb"],"token_endpoint_auth_method":"client_secret_basic","grant_types":["authorization_code","client_credentials"]}`)
	if slices.Contains(registered.GrantTypes, oauth.GrantClientCredentials) {
		t.Errorf("a client registered itself with %v", registered.GrantTypes)
	}
	for name, tt := range map[string]struct {
		got    reply
		status int
		code   string
	}{
		"registered itself":          {ts.credentials(registered.ID, registered.Secret), http.StatusBadRequest, "unauthorized_client"},
		"configured, but not for it": {ts.credentials("web", testSecret), http.StatusBadRequest, "unauthorized_client"},
		"public":                     {ts.credentials("app", "", "client_id", "app"), http.StatusBadRequest, "unauthorized_client"},
		"no secret":                  {ts.credentials("batch", "", "client_id", "batch"), http.StatusUnauthorized, "invalid_client"},
		"wrong secret":               {ts.credentials("batch", "wrong"), http.StatusUnauthorized, "invalid_client"},
		"nobody":                     {ts.credentials("", ""), http.StatusUnauthorized, "invalid_client"},
		"another server":             {ts.credentials("batch", testSecret, "resource", mainResource), http.StatusBadRequest, "invalid_target"},
		"no server of ours":          {ts.credentials("batch", testSecret, "resource", "https://elsewhere.example/mcp"), http.StatusBadRequest, "invalid_target"},
		"malformed scope":            {ts.credentials("batch", testSecret, "scope", "a\"b"), http.StatusBadRequest, "invalid_scope"},
		"signing in with it":         {ts.redeem("batch", "mcpac_x"), http.StatusUnauthorized, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.got.status != tt.status || tt.got.Error != tt.code {
				t.Errorf("got %d %s, want %d %s", tt.got.status, tt.got.body, tt.status, tt.code)
			}
		})
	}
	without := newTestServer(t)
	without.want(without.credentials("web", testSecret), http.StatusBadRequest, "unsupported_grant_type")
}

// What metadata says of it (MCP extension io.modelcontextprotocol/oauth-client-credentials).
func TestClientCredentialsInMetadata_C21(t *testing.T) {
	for want, options := range map[bool][]func(*siteConfig){true: {withBatch()}, false: nil} {
		ts := newTestServer(t, options...)
		var d oauth.ServerDocument
		if err := json.Unmarshal(ts.send(http.MethodGet, oauth.AuthorizationServerPath, "").Body.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(d.GrantTypes, oauth.GrantClientCredentials); got != want {
			t.Errorf("grant types %v", d.GrantTypes)
		}
		if !slices.Contains(d.TokenAuthMethods, oauth.AuthPrivateKeyJWT) || !slices.Contains(d.TokenAuthMethods, oauth.AuthSecretBasic) || len(d.TokenAuthAlgs) == 0 {
			t.Errorf("methods %v, algorithms %v", d.TokenAuthMethods, d.TokenAuthAlgs)
		}
	}
}

// What the configuration does not have any more is not good, nor when it is given
// back.
func TestServiceWithdrawn_C22_D09(t *testing.T) {
	for name, change := range map[string]func(*siteConfig){
		"client": func(c *siteConfig) { c.Clients, c.SignIn = withoutBatch(c.Clients), c.SignIn.ForPeople() },
		"option": func(c *siteConfig) {
			c.SignIn = c.SignIn.ForPeople()
			c.Clients = slices.Clone(c.Clients)
			last := &c.Clients[len(c.Clients)-1]
			last.Service, last.Metadata.GrantTypes = nil, nil
		},
		"secret": withBatchOf("another secret, as long as the first"),
		"server": withBatch("main"),
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, withBatch("notion", "main"))
			ts.endWithdrawn()
			got := ts.credentials("batch", testSecret, "resource", notionResource)
			ts.want(got, http.StatusOK, "")
			before := ts.serves()
			ts.reload(change)
			if status, _ := ts.through("notion", got.Access); status != http.StatusUnauthorized {
				t.Errorf("a call gets %d", status)
			}
			ts.endWithdrawn()
			ts.reload(func(c *siteConfig) { *c = before })
			ts.endWithdrawn()
			if ts.live(got.Access) {
				t.Error("the token lives again")
			}
			ts.want(ts.credentials("batch", testSecret), http.StatusOK, "")
		})
	}
}

// Access rules see the client, and the service person by its subject.
func TestServiceUnderRules_C22(t *testing.T) {
	people := func(texts ...string) func(*siteConfig) {
		return func(c *siteConfig) {
			var err error
			server := *c.Servers[0]
			if server.People, err = access.ParsePeople(texts); err != nil {
				t.Fatal(err)
			}
			c.Servers = []*config.Server{&server, c.Servers[1]}
		}
	}
	for name, tt := range map[string]struct {
		servers []string
		rules   []string
		admits  bool
	}{
		"for a group":                     {nil, []string{"group:staff"}, false},
		"for a group, and listed":         {[]string{"notion"}, []string{"group:staff"}, true},
		"for it":                          {nil, []string{"group:staff", "user:client:batch"}, true},
		"for another":                     {nil, []string{"user:client:batch2"}, false},
		"for a person of its name":        {nil, []string{"user:Nightly batch", "key:batch"}, false},
		"for a group, and another listed": {[]string{"main"}, []string{"group:staff"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, people(tt.rules...), withBatch(tt.servers...))
			got := ts.credentials("batch", testSecret, "resource", notionResource)
			if (got.status == http.StatusOK) != tt.admits {
				t.Fatalf("got %d %s", got.status, got.body)
			}
			if tt.admits {
				if status, _ := ts.through("notion", got.Access); status != http.StatusOK {
					t.Errorf("a call gets %d", status)
				}
			}
		})
	}
}

// Whatever is revoked ends at once, and a loop does not fill the store.
func TestServiceTokensEnd_C22(t *testing.T) {
	ts := newTestServer(t, withBatch())
	first, second := ts.credentials("batch", testSecret), ts.credentials("batch", testSecret)
	all, err := ts.as.Grants.List(t.Context(), "client:batch")
	if err != nil || len(all) != 2 {
		t.Fatalf("%d grants, %v", len(all), err)
	}
	r := httptest.NewRequest(http.MethodPost, testIssuer+revokePath, strings.NewReader(url.Values{"token": {first.Access}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("batch", url.QueryEscape(testSecret))
	ts.want(ts.reply(ts.serve(r)), http.StatusOK, "")
	if ts.live(first.Access) || !ts.live(second.Access) {
		t.Errorf("revoked lives: %v, the other lives: %v", ts.live(first.Access), ts.live(second.Access))
	}
	for i := range serviceTokensPerMinute - 2 {
		ts.want(ts.credentials("batch", testSecret), http.StatusOK, "")
		if t.Failed() {
			t.Fatal("at ", i)
		}
	}
	ts.want(ts.credentials("batch", testSecret), http.StatusTooManyRequests, "temporarily_unavailable")
	for range 2 {
		ts.clock.Advance(time.Minute)
		for range serviceTokensPerMinute {
			ts.want(ts.credentials("batch", testSecret), http.StatusOK, "")
		}
	}
	if all, err = ts.as.Grants.List(t.Context(), "client:batch"); err != nil || len(all) != maxServiceGrants {
		t.Errorf("%d grants, %v; want %d", len(all), err, maxServiceGrants)
	}
}

// An MCP session goes on with the next token, and with no other client's.
func TestServiceSession_C22(t *testing.T) {
	ts := newTestServer(t, withBatch())
	holder := func() string {
		c, _ := ts.caller(ts.credentials("batch", testSecret, "resource", notionResource).Access)
		return c.Holder
	}
	first, second := holder(), holder()
	ts.reload(withBatchOf("another secret, as long as the first"))
	third, _ := ts.caller(ts.credentials("batch", "another secret, as long as the first", "resource", notionResource).Access)
	if first != second || first == third.Holder || first == "" {
		t.Errorf("holders %q, %q, with another secret %q", first, second, third.Holder)
	}
}

// A token is for all that the client may use, unless the request names one.
func TestServiceAudience_C21(t *testing.T) {
	ts := newTestServer(t, withBatch(), signsTokens)
	for resource, want := range map[string]any{"-": []any{notionResource, mainResource}, mainResource: mainResource} {
		got := ts.credentials("batch", testSecret, "resource", resource, "scope", "mcp:use notion:admin connect:notion")
		ts.want(got, http.StatusOK, "")
		_, claims := ts.claims(got.Access)
		if fmt.Sprint(claims["aud"]) != fmt.Sprint(want) || claims["sub"] != "client:batch" || claims["client_id"] != "batch" {
			t.Errorf("resource %s: claims %v", resource, claims)
		}
	}
}

// A token of which nobody can tell whether it was stored is not given out.
func TestServiceStoreFails_C21(t *testing.T) {
	ts := newTestServer(t, withBatch())
	for name, run := range map[string]func(string, func()){"before": ts.store.failing, "after": ts.store.losing} {
		run("IssueGrant", func() {
			if got := ts.credentials("batch", testSecret); got.status != http.StatusServiceUnavailable || got.Access != "" {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
		})
	}
}

// With private_key_jwt, an assertion gets one token: also when many come with it at a
// time, and when the request is refused.
func TestServiceAssertion_C08_C21(t *testing.T) {
	s := newSigner(t)
	s.reload(func(c *siteConfig) {
		signer := &c.Clients[len(c.Clients)-1]
		of := config.Client{ID: signer.ID, Name: "Signer", JWKS: signer.Metadata.JWKS, ClientCredentials: true}
		signer.Service, signer.ServiceLifetime = new(of.Service()), time.Minute
		signer.Metadata.GrantTypes = append(slices.Clone(signer.Metadata.GrantTypes), oauth.GrantClientCredentials)
		c.SignIn = append(c.SignIn.ForPeople(), identity.ByClientCredentials([]identity.Service{of.Service()}))
	})
	ask := func(proof, resource string) reply {
		return s.post(TokenPath, "signer", s.with(proof, url.Values{"grant_type": {oauth.GrantClientCredentials}, "resource": {resource}}))
	}
	proof := s.assertion()
	got := ask(proof, notionResource)
	s.want(got, http.StatusOK, "")
	if status, _ := s.through("notion", got.Access); status != http.StatusOK || got.Expires != 60 {
		t.Errorf("a call gets %d; %s", status, got.body)
	}
	s.wantUsed(ask(proof, notionResource))
	refused := s.assertion()
	s.want(ask(refused, "https://elsewhere.example/mcp"), http.StatusBadRequest, "invalid_target")
	s.wantUsed(ask(refused, notionResource))
	s.clock.Advance(time.Minute)
	proof = s.assertion()
	good := 0
	for _, r := range s.race(8, func() reply { return ask(proof, notionResource) }) {
		if r.status == http.StatusOK {
			good++
		}
	}
	all, err := s.as.Grants.List(t.Context(), "client:signer")
	if good != 1 || err != nil || len(all) != 1 {
		t.Errorf("%d of 8 with one assertion got a token, and %d grants are there, %v", good, len(all), err)
	}
}
