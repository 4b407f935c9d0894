package accounts

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

func TestRegistrationPriority_CL7(t *testing.T) {
	for name, tt := range map[string]struct {
		issuer       string
		configured   bool
		documents    bool
		registration bool
		want         string
		problem      client.Problem
	}{
		"configured first":         {testIssuer, true, true, true, "configured", ""},
		"then our document":        {testIssuer, false, true, true, testIssuer + "/oauth/client/notion", ""},
		"no document without TLS":  {"http://127.0.0.1:8080", false, true, true, "dynamic-1", ""},
		"then registration":        {testIssuer, false, false, true, "dynamic-1", ""},
		"else an operator must":    {testIssuer, false, false, false, "", client.NotRegistered},
		"document, no alternative": {testIssuer, false, true, false, testIssuer + "/oauth/client/notion", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, func(cfg *config.Site, s *config.Server) {
				cfg.Issuer = tt.issuer
				if tt.configured {
					s.Auth.ClientID = "configured"
				}
			})
			m := oauthtest.With(g.metadata(), "client_id_metadata_document_supported", tt.documents)
			if !tt.registration {
				delete(m, "registration_endpoint")
			}
			g.provider.Page(asMetadataPath, oauthtest.Document(m))
			to, err := g.Start(t.Context(), g.request())
			wantProblem(t, err, tt.problem)
			u, _ := url.Parse(to)
			if got := u.Query().Get("client_id"); got != tt.want {
				t.Errorf("client_id %q, want %q", got, tt.want)
			}
			if got := len(g.provider.Requests("/register")); (got == 1) != (tt.want == "dynamic-1") {
				t.Errorf("%d registrations", got)
			}
		})
	}
}

func TestClientDocument_CL8_K21(t *testing.T) {
	servers := []*config.Server{
		{ID: "notion", Auth: &config.Auth{Mode: config.PerUserOAuth}},
		{ID: "shared", Auth: &config.Auth{Mode: config.OAuth, AuthMethod: oauth.AuthPrivateKeyJWT}},
		{ID: "key", Auth: &config.Auth{Mode: config.PerUserHeaders}}, {ID: "open"},
	}
	g := newGateway(t, func(cfg *config.Site, _ *config.Server) { cfg.Servers = servers })
	documents := g.ClientDocuments()
	paths := []string{"/oauth/client/notion", "/oauth/client/notion/key", "/oauth/client/shared", "/oauth/client/shared/key"}
	if got := slices.Sorted(maps.Keys(documents)); !slices.Equal(got, paths) {
		t.Fatalf("documents %q, want %q", got, paths)
	}
	const want = `{"client_id":"https://gate.example/oauth/client/notion",` +
		`"redirect_uris":["https://gate.example/api/oauth/callback/notion"],"token_endpoint_auth_method":"none",` +
		`"grant_types":["authorization_code","refresh_token"],"response_types":["code"],` +
		`"client_name":"The Gate","client_uri":"https://gate.example","application_type":"web"}`
	if got := string(documents[paths[0]]); got != want {
		t.Errorf("document\n%s\nwant\n%s", got, want)
	}
	for path, document := range documents {
		body, keyed := string(document), path != paths[0]
		if strings.Contains(body, `"d"`) || strings.Contains(body, `"jwks":{"keys":[{"use":"sig","kty":"EC"`) != keyed ||
			strings.Contains(body, `"token_endpoint_auth_method":"private_key_jwt"`) != keyed {
			t.Errorf("keys: %s", body)
		}
		if !strings.Contains(body, `"client_id":"https://gate.example`+path+`"`) || len(body) > 5<<10 {
			t.Errorf("document %s", body)
		}
	}

	g = newGateway(t, func(cfg *config.Site, _ *config.Server) { cfg.Issuer = "http://127.0.0.1:8080" })
	if got := g.ClientDocuments(); len(got) > 0 {
		t.Errorf("documents that nobody may fetch: %+v", got)
	}
}

// A provider that reads our documents gets a key where it takes nothing else
// that we can do.
func TestDocumentClientAuthenticates_CL8(t *testing.T) {
	const plain, keyed = "/oauth/client/notion", "/oauth/client/notion/key"
	for name, tt := range map[string]struct {
		supported any
		quirk     string
		path      string
		key       bool
	}{
		"a key only":             {[]string{oauth.AuthPrivateKeyJWT}, "", keyed, true},
		"a key or a secret":      {[]string{oauth.AuthSecretBasic, oauth.AuthPrivateKeyJWT}, "", keyed, true},
		"nothing or a key":       {[]string{oauth.AuthNone, oauth.AuthPrivateKeyJWT}, "", plain, false},
		"a secret only":          {[]string{oauth.AuthSecretBasic}, "", plain, false},
		"it does not say":        {nil, "", plain, false},
		"the operator wants one": {[]string{oauth.AuthNone}, oauth.AuthPrivateKeyJWT, plain, true},
		"the operator does not":  {[]string{oauth.AuthPrivateKeyJWT}, oauth.AuthNone, plain, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.AuthMethod = tt.quirk })
			m := oauthtest.With(g.metadata(), "client_id_metadata_document_supported", true)
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(m, "token_endpoint_auth_methods_supported", tt.supported)))
			request := g.connect()
			if got := request.Get("client_id"); got != testIssuer+tt.path {
				t.Errorf("client_id %q", got)
			}
			g.provider.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-2", "token_type": "Bearer"}))
			if _, err := g.Refused(t.Context(), testOwner, "notion", bearer("at-1")); err != nil {
				t.Error(err)
			}
			sent := g.provider.Requests("/token") // the code, and a refresh
			if len(sent) != 2 {
				t.Fatalf("%d requests", len(sent))
			}
			for _, r := range sent {
				if r.Form.Get("client_id") != testIssuer+tt.path || r.Form.Has("client_assertion") != tt.key {
					t.Errorf("sent %v", r.Form)
				}
				if tt.key {
					g.wantAssertion(r.Form.Get("client_assertion"), testIssuer+tt.path)
				}
			}
		})
	}
}

// wantAssertion checks an assertion by the keys in the document of the client.
func (g *gateway) wantAssertion(assertion, clientID string) {
	g.t.Helper()
	jws, err := jose.ParseSignedCompact(assertion, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		g.t.Fatal(err)
	}
	document := g.ClientDocuments()[strings.TrimPrefix(clientID, testIssuer)]
	var m struct {
		JWKS *jose.JSONWebKeySet `json:"jwks"`
	}
	if err := json.Unmarshal(document, &m); err != nil || m.JWKS == nil {
		g.t.Fatalf("document of %s: %s, %v", clientID, document, err)
	}
	claims, err := jws.Verify(m.JWKS.Keys[0])
	if err != nil || !strings.Contains(string(claims), `"sub":"`+clientID+`"`) || !strings.Contains(string(claims), `"aud":"`+g.provider.URL+`"`) {
		g.t.Errorf("claims %s, %v", claims, err)
	}
}

func TestRegistrationRequest_CL9(t *testing.T) {
	for name, tt := range map[string]struct{ issuer, applicationType string }{
		"hosted":   {testIssuer, "web"},
		"loopback": {"http://127.0.0.1:8080", "native"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, func(cfg *config.Site, _ *config.Server) { cfg.Issuer = tt.issuer })
			g.start(g.request())
			requests := g.provider.Requests("/register")
			var m struct {
				ClientID string `json:"client_id"`
				oauth.ClientMetadata
			}
			if err := json.Unmarshal([]byte(requests[0].Body), &m); err != nil {
				t.Fatal(err)
			}
			if m.ApplicationType != tt.applicationType || m.ClientName != "The Gate" || m.ClientID != "" ||
				strings.Join(m.RedirectURIs, " ") != tt.issuer+"/api/oauth/callback/notion" ||
				strings.Join(m.GrantTypes, " ") != "authorization_code refresh_token" ||
				strings.Join(m.ResponseTypes, " ") != "code" || m.TokenEndpointAuthMethod != oauth.AuthSecretBasic {
				t.Errorf("asked for %+v", m)
			}
		})
	}
}

func TestRegistrationAnswers_CL9_K18_K19(t *testing.T) {
	for name, tt := range map[string]struct {
		page    http.HandlerFunc
		problem client.Problem
	}{
		"refused redirect": {oauthtest.Answer(400, "application/json", `{"error":"invalid_redirect_uri","error_description":"canary"}`), client.NotRegistered},
		"refused":          {oauthtest.Answer(403, "text/plain", `canary`), client.NotRegistered},
		"down":             {oauthtest.Answer(503, "text/plain", `canary`), client.ProviderDown},
		"busy":             {oauthtest.Answer(429, "text/plain", `canary`), client.ProviderDown},
		"no client":        {oauthtest.Answer(201, "application/json", `{"canary":1}`), client.ProviderUnusable},
		"HTML":             {oauthtest.Answer(201, "text/html", `<canary>`), client.ProviderUnusable},
		"repeated":         {oauthtest.Answer(201, "application/json", `{"client_id":"canary","client_id":"b"}`), client.ProviderUnusable},
		"control bytes":    {oauthtest.Answer(201, "application/json", `{"client_id":"canary\r\nx: y"}`), client.ProviderUnusable},
		"long":             {oauthtest.Answer(201, "application/json", `{"client_id":"`+strings.Repeat("canary", 1000)+`"}`), client.ProviderUnusable},
		"huge":             {oauthtest.Answer(201, "application/json", `{"client_id":"`+strings.Repeat("canary", 100_000)+`"}`), client.ProviderUnusable},
		"other redirect":   {oauthtest.Answer(201, "application/json", `{"client_id":"canary","redirect_uris":["https://canary.example/"]}`), client.NotRegistered},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			g.provider.Page("/register", tt.page)
			_, err := g.Start(t.Context(), g.request())
			wantProblem(t, err, tt.problem)
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the provider's words are in %q", err)
			}
			if len(g.store.clients) != 0 {
				t.Error("something was stored")
			}
		})
	}
}

func TestAuthMethod_CL9_K09(t *testing.T) {
	all := []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthNone}
	for name, tt := range map[string]struct {
		supported any
		answer    oauthtest.Object
		want      string
	}{
		"secret":             {all, oauthtest.Object{"client_secret": "s"}, oauth.AuthSecretBasic},
		"not said":           {nil, oauthtest.Object{"client_secret": "s"}, oauth.AuthSecretBasic},
		"post only":          {[]string{oauth.AuthSecretPost}, oauthtest.Object{"client_secret": "s"}, oauth.AuthSecretPost},
		"public only":        {[]string{oauth.AuthNone}, oauthtest.Object{}, oauth.AuthNone},
		"changed to post":    {all, oauthtest.Object{"client_secret": "s", "token_endpoint_auth_method": oauth.AuthSecretPost}, oauth.AuthSecretPost},
		"changed to public":  {all, oauthtest.Object{"token_endpoint_auth_method": oauth.AuthNone}, oauth.AuthNone},
		"secret not needed":  {all, oauthtest.Object{"client_secret": "s", "token_endpoint_auth_method": oauth.AuthNone}, oauth.AuthNone},
		"secret not handed":  {all, oauthtest.Object{}, oauth.AuthNone},
		"secret without end": {all, oauthtest.Object{"client_secret": "s", "client_secret_expires_at": 0}, oauth.AuthSecretBasic},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "token_endpoint_auth_methods_supported", tt.supported)))
			tt.answer["client_id"] = "c1"
			g.provider.Page("/register", oauthtest.Document(tt.answer))
			g.connect()
			r := g.provider.Requests("/token")
			if len(r) != 1 {
				t.Fatalf("%d token requests", len(r))
			}
			basic, posted, id := r[0].Header.Get("Authorization") != "", r[0].Form.Has("client_secret"), r[0].Form.Has("client_id")
			if basic != (tt.want == oauth.AuthSecretBasic) || posted != (tt.want == oauth.AuthSecretPost) || id != (tt.want != oauth.AuthSecretBasic) {
				t.Errorf("basic %v, secret in the form %v, id in the form %v; want %s", basic, posted, id, tt.want)
			}
		})
	}
}

func TestRegistrationIsKept_CL10(t *testing.T) {
	g := newGateway(t)
	g.connect()
	g.connect()
	if n := len(g.provider.Requests("/register")); n != 1 {
		t.Errorf("%d registrations for two requests", n)
	}
	for _, c := range g.store.clients {
		if c.Issuer != testIssuer || c.Provider != g.provider.URL || c.Server != "notion" {
			t.Errorf("kept under %+v", c)
		}
		if strings.Contains(string(c.Secret), "s/1") {
			t.Error("the secret is not sealed")
		}
		c.Secret = g.seal(registration{}, sealed.UpstreamClient(g.cfg.Issuer, "https://other.example", "notion")...) // M02
		if err := g.store.swapUpstreamClient(t.Context(), c, g.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Start(t.Context(), g.request()); err != nil {
		t.Fatal(err)
	}
	if n := len(g.provider.Requests("/register")); n != 2 {
		t.Errorf("%d registrations: one that was swapped in the store is used", n)
	}
}

func TestRegisterAtTheSameTime_CL10(t *testing.T) {
	g := newGateway(t)
	var wg sync.WaitGroup
	arrived, gate := make(chan struct{}, 16), make(chan struct{})
	g.provider.Page("/register", func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-gate
		oauthtest.Document(oauthtest.Object{"client_id": "one"})(w, r)
	})
	for range 16 {
		wg.Go(func() {
			if _, err := g.Start(t.Context(), g.request()); err != nil {
				t.Error(err)
			}
		})
	}
	<-arrived
	close(gate)
	wg.Wait()
	ids := map[string]bool{}
	for _, s := range g.store.states {
		var req pendingConnect
		if err := g.open(s.Secret, &req, sealed.ConnectState(s.ConnectionKey, s.Hash)...); err != nil {
			t.Fatal(err)
		}
		ids[req.Binding.ClientID] = true
	}
	if len(ids) != 1 || len(g.store.states) != 16 {
		t.Errorf("%d requests as the clients %v", len(g.store.states), ids)
	}
}

// The server moves to another provider: nothing of the old one is sent there.
func TestProviderChanges_CL10_K15(t *testing.T) {
	move := func(g *gateway) *oauthtest.Provider {
		other := oauthtest.NewProvider(g.t)
		other.Page(asMetadataPath, oauthtest.Document(oauthtest.With(other.Metadata(), "revocation_endpoint", nil)))
		other.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-2", "client_secret": "s2"}))
		other.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-2", "token_type": "Bearer"}))
		g.server.Page(prmPath, oauthtest.Document(oauthtest.With(g.server.Metadata(), "authorization_servers", []string{other.URL})))
		return other
	}
	t.Run("dynamic", func(t *testing.T) {
		g := newGateway(t)
		g.connect()
		other := move(g)
		g.provider = other
		request := g.connect()
		if request.Get("client_id") != "dynamic-2" {
			t.Errorf("client_id %q at the new provider", request.Get("client_id"))
		}
		for _, r := range other.AllRequests() {
			if strings.Contains(r.Body+r.Header.Get("Authorization"), "dynamic-1") || strings.Contains(r.Body, "rt-1") {
				t.Errorf("the new provider sees %+v", r)
			}
		}
		if c, s := g.connection(); c.Provider != other.URL || s.RefreshToken != "" || s.AccessToken != "at-2" {
			t.Errorf("connection %+v %+v", c, s)
		}
	})
	t.Run("configured", func(t *testing.T) {
		g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.ClientID, s.Auth.ClientSecret = "ours", "hush" })
		g.connect()
		other := move(g)
		to, err := g.Start(t.Context(), g.request())
		wantProblem(t, err, client.ProviderUnusable)
		if to != "" || len(other.Requests("/token")) != 0 {
			t.Errorf("went on to %q", to)
		}
		// The operator moves too.
		g.cfg.Servers[0].Auth.ClientID = "ours at the other"
		g.provider = other
		g.connect()
	})
	t.Run("configured with its issuer", func(t *testing.T) {
		g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.ClientID, s.Auth.ClientSecret = "ours", "hush" })
		g.cfg.Servers[0].Auth.Issuer = g.provider.URL
		other := move(g)
		g.connect() // stays where the operator said
		g.cfg.Servers[0].Auth.Issuer = other.URL
		g.provider = other
		g.connect() // and moves with the operator
	})
	t.Run("registered anew between leaving and coming back", func(t *testing.T) {
		g := newGateway(t)
		a := g.answerTo(g.start(g.request()))
		other := registration{Credentials: client.Credentials{ID: "dynamic-2", Secret: "s2"}}
		if err := g.plantClient(t.Context(), g.cfg.Servers[0], g.provider.URL, other, time.Time{}); err != nil {
			t.Fatal(err)
		}
		_, err := g.Finish(t.Context(), a)
		if wantProblem(t, err, client.ProviderRefused); len(g.provider.Requests("/token")) != 0 {
			t.Error("the code went with the credentials of another client")
		}
	})
	t.Run("between leaving and coming back", func(t *testing.T) {
		g := newGateway(t)
		request := g.start(g.request())
		other := move(g)
		if _, err := g.Finish(t.Context(), g.answerTo(request)); err != nil {
			t.Fatal(err)
		}
		if n := len(other.Requests("/token")); n != 0 {
			t.Error("the code went to the new provider")
		}
	})
}

func TestProviderForgets_CL10(t *testing.T) {
	forgetful := func(known *string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			id, _, _ := r.BasicAuth()
			_ = r.ParseForm()
			switch {
			case id != *known:
				oauthtest.Answer(401, "application/json", `{"error":"invalid_client"}`)(w, r)
			case r.PostForm.Get("code") != "code-1":
				oauthtest.Answer(400, "application/json", `{"error":"invalid_grant"}`)(w, r)
			default:
				oauthtest.Document(oauthtest.Object{"access_token": "at", "token_type": "Bearer"})(w, r)
			}
		}
	}
	known := "dynamic-1"
	g := newGateway(t)
	g.provider.Page("/token", forgetful(&known))
	g.connect()

	// It restarts: the code of the request under way is refused, and the next one
	// registers anew.
	request := g.start(g.request())
	known = "dynamic-2"
	g.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-2", "client_secret": "s2"}))
	outcome, err := g.Finish(t.Context(), g.answerTo(request))
	wantProblem(t, err, client.ProviderRefused)
	if outcome.ReturnTo != "/oauth/account" || outcome.Connected {
		t.Errorf("outcome %+v", outcome)
	}
	if _, err := g.store.UpstreamClient(t.Context(), testIssuer, g.provider.URL, "notion", g.clock.Now()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the registration that the provider forgot is kept: %v", err)
	}
	if got := g.connect().Get("client_id"); got != "dynamic-2" {
		t.Errorf("client_id %q", got)
	}

	// It restarts again, and this time the browser is stranded on its page:
	// the next person who leaves is not.
	known = "dynamic-3"
	g.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-3", "client_secret": "s3"}))
	if got := g.start(g.request()).Get("client_id"); got != "dynamic-2" {
		t.Fatalf("client_id %q: nobody could know yet", got)
	}
	if got := g.connect().Get("client_id"); got != "dynamic-3" {
		t.Errorf("client_id %q after a person did not return", got)
	}

	// A provider that works is not asked before each request.
	g.provider.Forget()
	g.connect()
	g.connect()
	if n := len(g.provider.Requests("/token")); n != 2 {
		t.Errorf("%d token requests for two requests", n)
	}
}

// A provider refuses a former client after a new one took its place.
func TestForgettingKeepsTheNewClient(t *testing.T) {
	for name, late := range map[string]func(g *gateway){
		"a request": func(g *gateway) {
			_, err := g.Finish(g.t.Context(), g.answerTo(g.start(g.request())))
			wantProblem(g.t, err, client.ProviderRefused)
		},
		"a refresh": func(g *gateway) {
			g.clock.Advance(2 * time.Hour)
			if _, err := g.Credential(g.t.Context(), testOwner, "notion"); !errors.Is(err, ErrNeedsReauth) {
				g.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			g.connect()
			s := g.servers["notion"]
			g.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
				other := registration{Credentials: client.Credentials{ID: "dynamic-2", Secret: "s2"}, RedirectURI: g.profile(s).RedirectURI}
				if err := g.plantClient(t.Context(), s, g.provider.URL, other, time.Time{}); err != nil {
					t.Error(err)
				}
				oauthtest.Answer(http.StatusUnauthorized, "application/json", `{"error":"invalid_client"}`)(w, r)
			})
			late(g)
			r, err := g.storedClient(t.Context(), s, g.provider.URL)
			if err != nil || r == nil || r.ID != "dynamic-2" {
				t.Errorf("the new registration is %+v, %v", r, err)
			}
		})
	}
}

func TestSecretEnds_CL10(t *testing.T) {
	g := newGateway(t)
	g.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "a", "client_secret": "s", "client_secret_expires_at": g.clock.Now().Add(time.Hour).Unix()}))
	g.connect()
	g.clock.Advance(time.Hour)
	g.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "b", "client_secret": "s"}))
	if got := g.connect().Get("client_id"); got != "b" {
		t.Errorf("client_id %q", got)
	}
}
