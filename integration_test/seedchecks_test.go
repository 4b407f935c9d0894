package integration_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func nothingToConnect(t *testing.T, _ *seedSite) {
	g := harness.Run(t, harness.Config{Directives: identities + "server plain /mcp " + harness.Tick(t).URL, Env: keys})
	for _, path := range []string{"/api/oauth/per-user/upstream/authorize", "/api/oauth/callback"} {
		if got := get(t, g.URL+path, http.StatusNotFound); strings.TrimSpace(got.Text) != "Not found" || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %v %s", path, got.Header, got.Text)
		}
	}
	get(t, g.URL+"/.well-known/oauth-authorization-server", http.StatusOK)
}

func protectedResource(t *testing.T, s *seedSite) {
	g := s.gateway
	mustHave(t, document(t, get(t, g.URL+"/.well-known/oauth-protected-resource/plain", http.StatusOK)),
		"resource", g.URL+"/plain", "authorization_servers", []string{g.URL}, "bearer_methods_supported", []string{"header"},
		"scopes_supported", []string{"plain:read"}, "resource_documentation", "https://docs.example.com/plain")
	mustHave(t, document(t, get(t, g.URL+"/.well-known/oauth-protected-resource", http.StatusOK)), "resource", g.URL+"/plain")
	mustHave(t, document(t, get(t, s.dashed.URL+"/.well-known/oauth-protected-resource", http.StatusOK)), "resource", s.dashed.URL+"/mcp")
}

func authorizationServer(t *testing.T, s *seedSite) {
	g := s.gateway
	d := document(t, get(t, g.URL+"/.well-known/oauth-authorization-server", http.StatusOK))
	mustHave(t, d, "issuer", g.URL, "response_types_supported", []string{"code"}, "code_challenge_methods_supported", []string{"S256"},
		"authorization_endpoint", g.URL+"/api/oauth/per-user/authorize", "token_endpoint", g.URL+"/api/oauth/per-user/token",
		"registration_endpoint", g.URL+"/api/oauth/per-user/register", "authorization_response_iss_parameter_supported", true)
	for name, want := range map[string]string{
		"grant_types_supported": "authorization_code", "token_endpoint_auth_methods_supported": "none", "scopes_supported": "plain:read",
	} {
		if list, _ := d[name].([]any); !slices.Contains(list, any(want)) {
			t.Errorf("%s is %v", name, d[name])
		}
	}
}

func registers(t *testing.T, s *seedSite) {
	address := s.gateway.URL + "/api/oauth/per-user/register"
	d := document(t, request(t, http.MethodPost, address, registration, http.StatusCreated, "Content-Type", jsonType))
	mustHave(t, d, "client_name", "Seed", "client_uri", "https://seed.example", "token_endpoint_auth_method", "none")
	if id, _ := d["client_id"].(string); strings.Count(id, "-") != 4 {
		t.Errorf("client_id %q", id)
	}
	refused := document(t, request(t, http.MethodPost, address, `{"redirect_uris":["javascript:alert(1)"]}`, http.StatusBadRequest, "Content-Type", jsonType))
	mustHave(t, refused, "error", "invalid_redirect_uri")
}

func authorizes(t *testing.T, s *seedSite) {
	client := s.gateway.Register(t, "http://127.0.0.1/callback")
	sent := get(t, client.Link(s.gateway.URL+"/plain"), http.StatusFound)
	location, cookie := sent.Header.Get("Location"), sent.Header.Get("Set-Cookie")
	if !strings.HasPrefix(location, "/oauth/consent?flow_id=") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") || !strings.Contains(cookie, "Max-Age=900") {
		t.Errorf("to %s with %s", location, cookie)
	}
	foreign := strings.Replace(client.Link(s.gateway.URL+"/plain"), url.QueryEscape("http://127.0.0.1/callback"), url.QueryEscape("https://evil.example/"), 1)
	get(t, foreign, http.StatusBadRequest)
}

func consentPage(t *testing.T, s *seedSite) {
	b := harness.NewBrowser(t)
	page := b.Open(t, s.gateway.Register(t, "http://127.0.0.1/callback").Link(s.gateway.URL+"/plain"))
	for _, button := range []string{harness.KeyButton, harness.UserIDButton, harness.AnonymousButton} {
		if page.Status != http.StatusOK || !page.HasButton(button) {
			t.Errorf("%d, no button %q: %s", page.Status, button, page.Text())
		}
	}
	get(t, s.gateway.URL+"/oauth/consent", http.StatusBadRequest)
	get(t, page.URL.String(), http.StatusForbidden) // in another browser
}

func signsInWithKey(t *testing.T, s *seedSite) {
	b := harness.NewBrowser(t)
	_, wrong := s.atServices(t, b, harness.Person{VirtualKey: "no key of anybody"}, "/plain")
	wrong.MustShow(t, "This key is not known here")
	_, right := s.atServices(t, b, alice, "/plain")
	right.MustShow(t, "alice", "virtual key")
}

func signsInWithUserID(t *testing.T, s *seedSite) {
	b := harness.NewBrowser(t)
	_, page := s.atServices(t, b, harness.Person{UserID: strings.Repeat("ü", 255)}, "/plain")
	page.MustShow(t, "not verified")
	_, long := s.atServices(t, harness.NewBrowser(t), harness.Person{UserID: strings.Repeat("x", 256)}, "/plain")
	long.MustShow(t, "A user ID has 1 to 255 visible characters")
}

func skips(t *testing.T, s *seedSite) {
	_, page := s.atServices(t, harness.NewBrowser(t), harness.Anonymous, "/plain")
	page.MustShow(t, "Nobody in particular")
	enforced := harness.Run(t, harness.Config{Directives: "identity virtual_key\nvirtual_key alice {env.ALICE_KEY}\nserver plain /plain " + harness.Tick(t).URL, Env: keys})
	b := harness.NewBrowser(t)
	page = b.Open(t, enforced.Register(t, "http://127.0.0.1/callback").Link(enforced.URL+"/plain"))
	if page.HasButton(harness.AnonymousButton) {
		t.Errorf("skip is offered: %s", page.Text())
	}
	if refused := b.Post(t, enforced.URL+"/api/oauth/per-user/consent/skip", page.Hidden("/api/oauth/per-user/consent/vk")); refused.Status != http.StatusForbidden {
		t.Errorf("skip: %d %s", refused.Status, refused.Text())
	}
}

func servicesPage(t *testing.T, s *seedSite) {
	b := harness.NewBrowser(t)
	_, page := s.atServices(t, b, alice, "/notes")
	page.MustShow(t, "Notes", "Connect Notes")
	connected := b.Connect(t, page, "Notes")
	connected.MustShow(t, "Connected")
	// A key opens the servers that it was made for.
	_, none := s.atServices(t, harness.NewBrowser(t), harness.Person{VirtualKey: carolKey}, "/notes")
	if none.HasButton("Connect Notes") {
		t.Errorf("carol may use: %s", none.Text())
	}
}

func startsAtProvider(t *testing.T, s *seedSite) {
	b := harness.NewBrowser(t)
	_, page := s.atServices(t, b, alice, "/notes")
	label := "Connect Notes"
	if !page.HasButton(label) {
		label += " again"
	}
	sent := b.Press(t, page, label, nil)
	if sent.Leaving == nil || !strings.HasPrefix(sent.Leaving.String(), s.provider.URL) {
		t.Fatalf("%d %s", sent.Status, sent.Text())
	}
	for _, name := range []string{"state", "code_challenge", "resource"} {
		if sent.Leaving.Query().Get(name) == "" {
			t.Errorf("no %s in %s", name, sent.Leaving)
		}
	}
	if sent.Leaving.Query().Get("code_challenge_method") != "S256" {
		t.Errorf("sent to %s", sent.Leaving)
	}
	if led := get(t, s.gateway.URL+"/api/oauth/per-user/upstream/authorize?"+sent.Leaving.RawQuery, http.StatusSeeOther); !strings.HasPrefix(led.Header.Get("Location"), "/oauth/") {
		t.Errorf("a link leads to %s", led.Header.Get("Location"))
	}
}

func callback(t *testing.T, s *seedSite) {
	b := harness.NewBrowser(t)
	_, page := s.atServices(t, b, harness.Person{UserID: "dora"}, "/notes")
	s.provider.Change(func() { s.provider.Declines = true })
	b.Connect(t, page, "Notes").MustShow(t, "Notes")
	s.provider.Change(func() { s.provider.Declines = false })
	back := b.Follow(t, b.Press(t, page, "Connect Notes", nil))
	if back.Leaving == nil {
		t.Fatalf("the provider answers %d", back.Status)
	}
	get(t, back.Leaving.String(), http.StatusForbidden) // in another browser
	b.Follow(t, back).MustShow(t, "Connected")
	if again := b.Open(t, back.Leaving.String()); again.Status == http.StatusOK || strings.Contains(again.Text(), "Connected") {
		t.Errorf("the same answer again: %d %s", again.Status, again.Text())
	}
}

func submits(t *testing.T, s *seedSite) {
	b := harness.NewBrowser(t)
	client, page := s.atServices(t, b, alice, "/plain")
	answer := b.Press(t, page, harness.ApproveButton, nil)
	if q := answer.Leaving.Query(); q.Get("code") == "" || q.Get("state") != client.State || q.Get("iss") != s.gateway.URL {
		t.Errorf("answer %s", answer.Leaving)
	}
	if again := b.Press(t, page, harness.ApproveButton, nil); again.Status != http.StatusConflict {
		t.Errorf("twice: %d", again.Status)
	}
	_, other := s.atServices(t, b, alice, "/plain")
	if stolen := harness.NewBrowser(t).Press(t, other, harness.ApproveButton, nil); stolen.Status != http.StatusForbidden {
		t.Errorf("in another browser: %d", stolen.Status)
	}
}

func redeems(t *testing.T, s *seedSite) {
	b := harness.NewBrowser(t)
	client, page := s.atServices(t, b, alice, "/plain")
	answer := b.Press(t, page, harness.ApproveButton, nil).Leaving
	tokens := client.Redeem(t, answer, s.gateway.URL+"/plain")
	if tokens.AccessToken == "" || tokens.RefreshToken == "" || tokens.TokenType != "Bearer" || tokens.ExpiresIn < 3500 || tokens.Scope != "plain:read" {
		t.Errorf("tokens %+v", tokens)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {answer.Query().Get("code")}, "code_verifier": {client.Verifier}, "redirect_uri": {client.RedirectURI}, "client_id": {client.ID}}
	replayed := request(t, http.MethodPost, s.gateway.URL+"/api/oauth/per-user/token", form.Encode(), http.StatusBadRequest, "Content-Type", "application/x-www-form-urlencoded")
	mustHave(t, document(t, replayed), "error", "invalid_grant")
}

func connectionStatus(t *testing.T, s *seedSite) {
	b := harness.NewBrowser(t)
	_, page := s.atServices(t, b, harness.Person{UserID: "emil"}, "/notes")
	b.Press(t, b.Connect(t, page, "Notes"), harness.ApproveButton, nil)
	all := s.gateway.Connections(t)
	i := slices.IndexFunc(all, func(c harness.Connection) bool { return c.Owner == "user_id:emil" })
	if i < 0 || s.gateway.Connection(t, all[i].ID).Status != "authorized" {
		t.Fatalf("connections %+v", all)
	}
	s.gateway.Admin(t, http.MethodDelete, "/"+all[i].ID, http.StatusOK, nil)
	s.gateway.Admin(t, http.MethodGet, "/nothing/status", http.StatusNotFound, nil)
}

func ownerOfAccount(t *testing.T, s *seedSite) {
	for owner, who := range map[string]harness.Person{"virtual_key:bob": bob, "user_id:fritz": {UserID: "fritz"}, "anonymous:": harness.Anonymous} {
		b := harness.NewBrowser(t)
		_, page := s.atServices(t, b, who, "/notes")
		b.Press(t, b.Connect(t, page, "Notes"), harness.ApproveButton, nil)
		if !slices.ContainsFunc(s.gateway.Connections(t), func(c harness.Connection) bool { return strings.HasPrefix(c.Owner, owner) }) {
			t.Errorf("no connection of %s: %+v", owner, s.gateway.Connections(t))
		}
	}
}

const ping = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"seed","version":"1"}}}`

func bearers(t *testing.T, s *seedSite) {
	for what, token := range map[string]string{"access token": s.gateway.SignIn(t, alice, "/plain").AccessToken, "virtual key": bobKey, "key for this server": carolKey} {
		if got := s.gateway.Post(t, "/plain", token, ping); got.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", what, got.StatusCode, got.Text)
		}
	}
	for what, token := range map[string]string{"nonsense": "nonsense", "key for another server": carolKey} {
		if got := s.gateway.Post(t, "/static", token, ping); got.StatusCode != http.StatusUnauthorized || !strings.Contains(got.Header.Get("WWW-Authenticate"), "resource_metadata=") {
			t.Errorf("%s: %d %v", what, got.StatusCode, got.Header)
		}
	}
}

func linkOfCall(t *testing.T, s *seedSite) {
	call := strings.Replace(ping, `"capabilities":{}`, `"capabilities":{"elicitation":{"url":{}}}`, 1)
	got := s.gateway.Post(t, "/notes", carolKey, call)
	if got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a key for another server: %d", got.StatusCode)
	}
	got = s.gateway.Post(t, "/keyed", aliceKey, ping)
	_, link, found := strings.Cut(got.Text, s.gateway.URL+"/oauth/connect/")
	if !found {
		t.Fatalf("%d %s", got.StatusCode, got.Text)
	}
	link, _, _ = strings.Cut(link, " ")
	page := harness.NewBrowser(t).Open(t, s.gateway.URL+"/oauth/connect/"+link)
	if page.HasButton("Connect keyed") || !page.HasButton(harness.KeyButton) {
		t.Errorf("the link alone shows: %s", page.Text())
	}
}

func credentials(t *testing.T, s *seedSite) {
	if got := s.gateway.Post(t, "/static", aliceKey, ping); got.StatusCode != http.StatusOK {
		t.Errorf("headers: %d %s", got.StatusCode, got.Text)
	}
	received := s.static.Received()
	if got := received[len(received)-1].Header.Get("Authorization"); got != "Bearer "+staticKey {
		t.Errorf("the server gets %q", got)
	}
	b := harness.NewBrowser(t)
	_, page := s.atServices(t, b, harness.Person{UserID: "gerd"}, "/keyed")
	b.PasteKey(t, page, "keyed", "key-of-ada").MustShow(t, "Connected")
	if got := s.gateway.Post(t, "/shared", aliceKey, ping); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("an account that no operator has connected: %d", got.StatusCode)
	}
	var link struct {
		URL    string `json:"authorize_url"`
		Server string `json:"server"`
		Site   string `json:"site"`
		Status string `json:"status"`
	}
	s.gateway.Admin(t, http.MethodPost, "/shared/start", http.StatusOK, &link)
	operator := harness.NewBrowser(t)
	operator.Client.Transport = signedInAtProvider{}
	operator.Connect(t, operator.Open(t, link.URL), "shared")
	if got := s.gateway.Post(t, "/shared", aliceKey, ping); got.StatusCode != http.StatusOK {
		t.Errorf("once an operator has connected it: %d %s", got.StatusCode, got.Text)
	}
}

// signedInAtProvider is a browser whose person is signed in at the provider.
type signedInAtProvider struct{}

func (signedInAtProvider) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(oauthtest.AccountHeader, harness.Ada)
	return http.DefaultTransport.RoundTrip(r)
}

func secretsFromEnvironment(t *testing.T, s *seedSite) {
	b := harness.NewBrowser(t)
	_, page := s.atServices(t, b, harness.Person{UserID: "hanna"}, "/notes")
	if sent := b.Press(t, page, "Connect Notes", nil); sent.Leaving == nil || sent.Leaving.Query().Get("client_id") != "gateway-of-env" {
		t.Errorf("sent to %v", sent.Leaving)
	}
}

func dashboardDiscovery(t *testing.T, s *seedSite) {
	g := s.dashed
	mustHave(t, document(t, get(t, g.URL+"/.well-known/oauth-authorization-server", http.StatusOK)),
		"issuer", g.URL, "authorization_endpoint", s.dashboard.Issuer+"/oauth/authorize", "token_endpoint", g.URL+"/api/oauth/per-user/token",
		"registration_endpoint", g.URL+"/api/oauth/per-user/register", "authorization_response_iss_parameter_supported", true)
	for _, path := range []string{"", "/mcp"} {
		mustHave(t, document(t, get(t, g.URL+"/.well-known/oauth-protected-resource"+path, http.StatusOK)),
			"resource", g.URL+"/mcp", "scopes_supported", []string{"mcp"}, "resource_documentation", "https://docs.example.com/mcp")
	}
}

func dashboardRegister(t *testing.T, s *seedSite) {
	d := document(t, request(t, http.MethodPost, s.dashed.URL+"/api/oauth/register", registration, http.StatusCreated, "Content-Type", jsonType))
	mustHave(t, d, "client_name", "Seed", "client_uri", "https://seed.example", "redirect_uris", []string{"http://127.0.0.1/callback", "https://seed.example/cb"})
}

func dashboardAuthorize(t *testing.T, s *seedSite) {
	client := s.dashed.Register(t, "https://seed.example/cb")
	a := s.approvedAt(t, client, http.StatusOK)
	code, _ := a["code"].(string)
	mustHave(t, a, "state", client.State, "redirect_uri", client.RedirectURI, "iss", s.dashed.URL,
		"redirect_to", client.RedirectURI+"?"+url.Values{"code": {code}, "state": {client.State}, "iss": {s.dashed.URL}}.Encode())
	wrong := document(t, request(t, http.MethodPost, s.dashed.URL+"/api/oauth/authorize", "{}", http.StatusUnauthorized, "Content-Type", jsonType, "Authorization", "Bearer wrong"))
	mustHave(t, wrong, "error", "invalid_token", "detail", wrong["error_description"])
}

func dashboardToken(t *testing.T, s *seedSite) {
	client := s.dashed.Register(t, "https://seed.example/cb")
	code, _ := s.approvedAt(t, client, http.StatusOK)["code"].(string)
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {client.Verifier}, "redirect_uri": {client.RedirectURI}, "client_id": {client.ID},
	}
	var mu sync.Mutex
	answered := map[int]int{}
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			resp, err := http.PostForm(s.dashed.URL+"/api/oauth/token", form)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			answered[resp.StatusCode]++
		})
	}
	all.Wait()
	if answered[http.StatusOK] != 1 || answered[http.StatusBadRequest] != 31 {
		t.Errorf("32 at once are answered %v", answered)
	}
}

func dashboardAccessToken(t *testing.T, s *seedSite) {
	client := s.dashed.Register(t, "https://seed.example/cb")
	code, _ := s.approvedAt(t, client, http.StatusOK)["code"].(string)
	tokens := s.redeemed(t, client, code, http.StatusOK)
	header, claims := claimsOf(t, tokens["access_token"])
	mustHave(t, header, "typ", "at+jwt", "alg", "EdDSA")
	mustHave(t, claims, "iss", s.dashed.URL, "sub", "dashboard:user-1", "email", "jane@acme.example", "role", "admin", "displayName", "Jane", "aud", s.dashed.URL+"/mcp", "scope", "mcp")
	exp, _ := claims["exp"].(float64)
	iat, _ := claims["iat"].(float64)
	if days := (exp - iat) / 86400; days < 29.9 || days > 30 {
		t.Errorf("good for %v days", days)
	}
	access, _ := tokens["access_token"].(string)
	if got := s.dashed.Post(t, "/mcp", access, ping); got.StatusCode != http.StatusOK {
		t.Errorf("%d %s", got.StatusCode, got.Text)
	}
	// As the application does when somebody leaves it.
	s.dashed.AdminJSON(t, http.MethodDelete, "people?subject=dashboard:user-1", "", http.StatusOK, nil)
	if got := s.dashed.Post(t, "/mcp", access, ping); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a revoked one: %d %s", got.StatusCode, got.Text)
	}
}

func dashboardRefuses(t *testing.T, s *seedSite) {
	client := s.dashed.Register(t, "https://seed.example/cb")
	for _, changes := range [][]string{
		{"code_challenge_method", "plain"}, {"code_challenge_method", ""}, {"code_challenge", ""}, {"redirect_uri", "https://evil.example/cb"},
	} {
		mustHave(t, s.approvedAt(t, client, http.StatusBadRequest, changes...), "error", "invalid_request")
	}
}

// An access token of ours is never accepted where a dashboard's JWT is expected,
// nor the other way round; nor is anything else that either of them signs.
func TestTokensAreNotTakenForEachOther(t *testing.T) {
	s := runSeed(t)
	client := s.dashed.Register(t, "https://seed.example/cb")
	code, _ := s.approvedAt(t, client, http.StatusOK)["code"].(string)
	tokens := s.redeemed(t, client, code, http.StatusOK)
	access, _ := tokens["access_token"].(string)
	refresh, _ := tokens["refresh_token"].(string)
	for what, token := range map[string]string{
		"access token": access, "refresh token": refresh, "code": code,
		"one of the dashboard that says it is an access token": s.dashboard.TokenOfType(t, "at+jwt", "user-1", nil),
		"one of the dashboard for a server here":               s.dashboard.Token(t, "user-1", map[string]any{"aud": s.dashed.URL + "/mcp"}),
		"one of the dashboard in our name":                     s.dashboard.Token(t, "user-1", map[string]any{"iss": s.dashed.URL}),
	} {
		for _, path := range []string{"/api/oauth/authorize", "/api/oauth/login"} {
			answer := request(t, http.MethodPost, s.dashed.URL+path, `{"login":"x"}`, http.StatusUnauthorized, "Content-Type", jsonType, "Authorization", "Bearer "+token)
			t.Log(what)
			mustHave(t, document(t, answer), "error", "invalid_token")
		}
	}
	jwt := s.dashboard.Token(t, "user-1", nil)
	for what, token := range map[string]string{
		"the dashboard's JWT":     jwt,
		"one for the server":      s.dashboard.Token(t, "dashboard:user-1", map[string]any{"aud": s.dashed.URL + "/mcp", "iss": s.dashed.URL, "scope": "mcp"}),
		"one that says it is one": s.dashboard.TokenOfType(t, "at+jwt", "dashboard:user-1", map[string]any{"aud": s.dashed.URL + "/mcp", "iss": s.dashed.URL, "scope": "mcp", "client_id": client.ID}),
	} {
		if got := s.dashed.Post(t, "/mcp", token, ping); got.StatusCode != http.StatusUnauthorized || !strings.Contains(got.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s at the gate: %d %v", what, got.StatusCode, got.Header)
		}
	}
	for _, form := range []url.Values{
		{"grant_type": {"refresh_token"}, "refresh_token": {jwt}, "client_id": {client.ID}},
		{"grant_type": {"authorization_code"}, "code": {jwt}, "code_verifier": {client.Verifier}, "client_id": {client.ID}},
	} {
		answer := request(t, http.MethodPost, s.dashed.URL+"/api/oauth/token", form.Encode(), http.StatusBadRequest, "Content-Type", "application/x-www-form-urlencoded")
		mustHave(t, document(t, answer), "error", "invalid_grant")
	}
	if got := s.dashed.Post(t, "/mcp", access, ping); got.StatusCode != http.StatusOK {
		t.Errorf("the access token at the gate: %d %s", got.StatusCode, got.Text)
	}
}
