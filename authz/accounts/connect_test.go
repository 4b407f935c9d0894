package accounts

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

func TestAuthorizationRequest_CL11_CL14(t *testing.T) {
	g := newGateway(t, func(_ *config.Site, s *config.Server) {
		s.Auth.Scopes = []string{"read", "write"}
		s.Auth.Quirks.AuthorizeParams = map[string]string{"access_type": "offline", "state": "mine", "redirect_uri": "https://evil.example"}
	})
	g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "authorization_endpoint", g.provider.URL+"/authorize?tenant=1&client_id=x")))
	got := g.start(g.request())
	want := map[string]string{
		"tenant": "1", "access_type": "offline", "response_type": "code", "client_id": "dynamic-1",
		"redirect_uri": testIssuer + "/api/oauth/callback/notion", "scope": "read write",
		"resource": g.server.URL + "/mcp", "code_challenge_method": "S256",
	}
	for name, value := range want {
		if v := got[name]; len(v) != 1 || v[0] != value {
			t.Errorf("%s = %q, want %q", name, v, value)
		}
	}
	if len(got.Get("state")) != 43 || len(got.Get("code_challenge")) != 43 || len(got) != len(want)+2 {
		t.Errorf("parameters %v", got)
	}
	other := g.start(g.request())
	if other.Get("state") == got.Get("state") || other.Get("code_challenge") == got.Get("code_challenge") {
		t.Error("two requests share a secret")
	}
}

func TestQuirks_CL11(t *testing.T) {
	g := newGateway(t, func(_ *config.Site, s *config.Server) {
		s.Auth.Scopes, s.Auth.Quirks = []string{"a", "b"}, client.Quirks{NoResource: true, ScopeSeparator: ","}
	})
	request := g.connect()
	if request.Has("resource") || request.Get("scope") != "a,b" {
		t.Errorf("request %v", request)
	}
	if r := g.provider.Requests("/token"); r[0].Form.Has("resource") {
		t.Error("the token request has a resource")
	}
}

func TestScopes_CL15_CL16_CL17(t *testing.T) {
	for name, tt := range map[string]struct {
		configured, challenge, resource, provider, extra, had string
		want                                                  string
	}{
		"none":                          {want: ""},
		"challenge":                     {challenge: "c", resource: "r", want: "c"},
		"metadata":                      {resource: "r1 r2", want: "r1 r2"},
		"configured":                    {configured: "x", challenge: "c", resource: "r", want: "x"},
		"provider's are not asked":      {provider: "p q", want: ""},
		"offline access":                {challenge: "c", provider: "p offline_access", want: "c offline_access"},
		"offline access alone":          {provider: "offline_access", want: "offline_access"},
		"connect again":                 {challenge: "c", had: "old", want: "c"},
		"more, besides what it has":     {challenge: "c", had: "old c", extra: "new", want: "old c new"},
		"more, on the first connection": {challenge: "c", extra: "new", want: "c new"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.Scopes = strings.Fields(tt.configured) })
			g.server.Page("/mcp", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer scope="`+tt.challenge+`", resource_metadata="`+g.server.URL+prmPath+`"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
			g.server.Page(prmPath, oauthtest.Document(oauthtest.With(g.server.Metadata(), "scopes_supported", strings.Fields(tt.resource))))
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "scopes_supported", strings.Fields(tt.provider))))
			if tt.had != "" {
				k := g.key(testOwner, g.cfg.Servers[0])
				had := storage.Connection{ConnectionKey: k, ID: "c", State: storage.Active, Scopes: strings.Fields(tt.had)}
				if _, v, err := g.store.PutConnection(t.Context(), had, g.clock.Now()); v != storage.OK {
					t.Fatalf("got %v, error %v; want %v", v, err, storage.OK)
				}
			}
			req := g.request()
			req.Scopes = strings.Fields(tt.extra)
			got := g.start(req)
			if got.Get("scope") != tt.want || got.Has("scope") != (tt.want != "") {
				t.Errorf("scope %q, want %q", got["scope"], tt.want)
			}
			if wantPrompt := strings.Contains(tt.want, "offline_access"); (got.Get("prompt") == "consent") != wantPrompt {
				t.Errorf("prompt %q", got["prompt"])
			}
		})
	}
}

// Only what a provider's answer needs is recorded, for as long as it can come,
// and nobody who reads the store can answer in its place.
func TestWhatIsRecorded_D20_I03(t *testing.T) {
	g := newGateway(t)
	if len(g.store.states) != 0 {
		t.Fatal("recorded before anybody agreed")
	}
	request := g.start(g.request())
	state := g.store.states[0]
	if state.Hash != storage.HashOf(request.Get("state")) || state.Owner != testOwner || state.Server != "notion" || state.Issuer != testIssuer || state.Browser != testBrowser ||
		state.Provider != g.provider.URL || !state.ExpiresAt.Equal(g.clock.Now().Add(15*time.Minute)) {
		t.Errorf("recorded %+v", state)
	}
	var req pendingConnect
	if err := g.open(state.Secret, &req, sealed.ConnectState(state.ConnectionKey, state.Hash)...); err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{"verifier": req.Verifier, "state": request.Get("state"), "return": req.ReturnTo} {
		if len(secret) < 10 || bytes.Contains(state.Secret, []byte(secret)) {
			t.Errorf("the %s can be read in the store", name)
		}
	}
}

func TestStartRefuses_CL13(t *testing.T) {
	for name, change := range map[string]func(*ConnectRequest, *config.Server){
		"unknown server":                   func(req *ConnectRequest, _ *config.Server) { req.Server = "other" },
		"no owner":                         func(req *ConnectRequest, _ *config.Server) { req.Owner = "" },
		"pasted keys":                      func(_ *ConnectRequest, s *config.Server) { s.Auth.Mode = config.PerUserHeaders },
		"open server":                      func(req *ConnectRequest, _ *config.Server) { req.Server = "open" },
		"a person for what everybody uses": func(_ *ConnectRequest, s *config.Server) { s.Auth.Mode = config.OAuth },
		"everybody for what is a person's": func(req *ConnectRequest, _ *config.Server) { req.Owner = storage.SharedOwner },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, func(cfg *config.Site, _ *config.Server) {
				cfg.Servers = append(cfg.Servers, &config.Server{ID: "open", Upstream: cfg.Servers[0].Upstream})
			})
			req := g.request()
			change(&req, g.cfg.Servers[0])
			_, err := g.Start(t.Context(), req)
			wantProblem(t, err, UnknownServer)
			if g.server.Hits() != 0 || len(g.store.states) != 0 {
				t.Error("something happened all the same")
			}
		})
	}
	t.Run("shared", func(t *testing.T) {
		g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.Mode = config.OAuth })
		req := g.request()
		req.Owner = storage.SharedOwner
		g.start(req)
	})
}

func TestStoreFails_Begin(t *testing.T) {
	g := newGateway(t)
	g.store.failWith(http.ErrAbortHandler)
	_, err := g.Start(t.Context(), g.request())
	if !errors.Is(err, http.ErrAbortHandler) || problemOf(err) != "" {
		t.Errorf("error %v, want the store's", err)
	}
}

func TestAuthorizationURLIsOneAddress_CL20(t *testing.T) {
	g := newGateway(t)
	to, err := g.Start(t.Context(), g.request())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil || u.String() != to || strings.ContainsAny(to, " \"'<>\r\n") {
		t.Errorf("not fit for a header: %q", to)
	}
}
