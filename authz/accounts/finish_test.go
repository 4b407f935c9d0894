package accounts

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

func TestConnect_CL11(t *testing.T) {
	g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.Scopes = []string{"a", "b"} })
	request := g.start(g.request())
	outcome, err := g.Finish(t.Context(), g.answerTo(request))
	if err != nil || outcome != (Outcome{Server: "notion", Owner: testOwner, ReturnTo: "/oauth/account", Connected: true}) {
		t.Fatalf("outcome %+v, %v", outcome, err)
	}
	r := g.provider.Requests("/token")
	if len(r) != 1 {
		t.Fatalf("%d token requests", len(r))
	}
	sum := sha256.Sum256([]byte(r[0].Form.Get("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != request.Get("code_challenge") {
		t.Error("the verifier does not fit the challenge")
	}
	for name, want := range map[string]string{
		"grant_type": "authorization_code", "code": "code-1", "redirect_uri": request.Get("redirect_uri"), "resource": g.server.URL + "/mcp",
	} {
		if got := r[0].Form[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	// RFC 6749 section 2.3.1: encoded before they are joined.
	if got := r[0].Header.Get("Authorization"); got != "Basic "+base64.StdEncoding.EncodeToString([]byte("dynamic-1:s%2F1%2B%25")) {
		t.Errorf("Authorization %q", got)
	}
	c, s := g.connection()
	if c.State != storage.Active || c.ID == "" || !c.TokenExpiresAt.Equal(g.clock.Now().Add(time.Hour)) || !c.ExpiresAt.IsZero() ||
		c.Provider != g.provider.URL || strings.Join(c.Scopes, " ") != "a b" || !c.CreatedAt.Equal(g.clock.Now()) {
		t.Errorf("connection %+v", c)
	}
	if s.AccessToken != "at-1" || s.RefreshToken != "rt-1" || s.Binding.ClientID != "dynamic-1" || s.Binding.TokenEndpoint != g.provider.URL+"/token" || s.Binding.Resource != g.server.URL+"/mcp" {
		t.Errorf("secrets %+v", s)
	}
}

func TestIssuerOfAnswer_CL12_K02_K03(t *testing.T) {
	honest := func(g *gateway) string { return g.provider.URL }
	none := func(*gateway) string { return "" }
	for name, tt := range map[string]struct {
		advertised bool
		iss        func(g *gateway) string
		ok         bool
	}{
		"advertised, equal":      {true, honest, true},
		"advertised, differs":    {true, func(*gateway) string { return "https://evil.example" }, false},
		"advertised, absent":     {true, none, false},
		"not advertised, equal":  {false, honest, true},
		"not advertised, differ": {false, func(*gateway) string { return "https://evil.example" }, false},
		"not advertised, absent": {false, none, true},
		"a slash more":           {false, func(g *gateway) string { return g.provider.URL + "/" }, false},
		"upper case":             {false, func(g *gateway) string { return strings.ToUpper(g.provider.URL) }, false},
		"encoded":                {false, func(g *gateway) string { return strings.Replace(g.provider.URL, ":", "%3A", 1) }, false},
	} {
		for _, failed := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				g := newGateway(t)
				g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "authorization_response_iss_parameter_supported", tt.advertised)))
				a := g.answerTo(g.start(g.request()))
				a.Iss = tt.iss(g)
				if failed {
					a.Code, a.Error = "", "access_denied"
				}
				_, err := g.Finish(t.Context(), a)
				switch {
				case !tt.ok:
					// Nor is the error of such an answer believed.
					wantProblem(t, err, client.NotThatProvider)
				case failed:
					wantProblem(t, err, client.Declined)
				case err != nil:
					t.Error(err)
				}
				if n := len(g.provider.Requests("/token")); (n == 1) != (tt.ok && !failed) {
					t.Errorf("%d token requests", n)
				}
			})
		}
	}
}

// An answer at the path of another server is another provider's.
func TestPathOfAnswer_K02(t *testing.T) {
	for _, path := range []string{
		"/api/oauth/callback/github", "/api/oauth/callback", "", "/", "/notion", "/api/oauth/callback/notion/", "/api/oauth/callback/Notion",
	} {
		g := newGateway(t)
		a := g.answerTo(g.start(g.request()))
		a.Path = path
		outcome, err := g.Finish(t.Context(), a)
		wantProblem(t, err, client.NotThatProvider)
		if len(g.provider.Requests("/token")) != 0 || outcome.Connected {
			t.Errorf("%q: the code was used", path)
		}
		a.Path = "/api/oauth/callback/notion"
		_, err = g.Finish(t.Context(), a)
		wantProblem(t, err, RequestEnded)
	}
}

// A hostile server's provider sends the browser on to an honest one, with its
// own state. What comes back is not sent to the hostile token endpoint.
func TestMixUp_K02(t *testing.T) {
	evil, honest := newGateway(t), newGateway(t)
	evil.cfg.Servers[0].ID = "evil"
	honest.Broker = New(testSite(honest.cfg.Servers[0], evil.cfg.Servers[0]), honest.Broker.deps)
	req := honest.request()
	req.Server = "evil"
	for what, change := range map[string]func(*Answer){
		"the answer came to the path of another provider": func(a *Answer) { a.Path = config.SharedCallbackPath + "/notion" },
		"iss is " + honest.provider.URL:                   func(a *Answer) { a.Iss = honest.provider.URL },
	} {
		to, err := honest.Start(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		sent, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		a := honest.answerTo(sent.Query())
		a.Code = "code of the honest provider"
		change(&a)
		_, err = honest.Finish(t.Context(), a)
		wantProblem(t, err, client.NotThatProvider)
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %s", err, what)
		}
	}
	for _, r := range evil.provider.Requests("/token") { // it may be asked whether it still knows us
		if strings.Contains(r.Body, "honest") {
			t.Errorf("the hostile token endpoint got the code: %s", r.Body)
		}
	}
}

func TestOtherBrowser_CL13_I02(t *testing.T) {
	g := newGateway(t)
	a := g.answerTo(g.start(g.request()))
	right := a.Browser
	for _, other := range []storage.Hash{storage.HashOf("mallory's browser"), {}} {
		a.Browser = other
		outcome, err := g.Finish(t.Context(), a)
		wantProblem(t, err, OtherBrowser)
		if outcome != (Outcome{}) {
			t.Errorf("told about another's request: %+v", outcome)
		}
	}
	if len(g.provider.Requests("/token")) != 0 || len(g.connections()) != 0 {
		t.Error("something happened all the same")
	}
	a.Browser = right
	if _, err := g.Finish(t.Context(), a); err != nil {
		t.Errorf("the right browser afterwards: %v", err)
	}
}

func TestStateIsUsedOnce_CL14(t *testing.T) {
	g := newGateway(t)
	a := g.answerTo(g.start(g.request()))
	var connected atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			_, err := g.Finish(t.Context(), a)
			if err == nil {
				connected.Add(1)
			} else if problemOf(err) != RequestEnded {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if connected.Load() != 1 || len(g.provider.Requests("/token")) != 1 {
		t.Errorf("%d connected, %d token requests", connected.Load(), len(g.provider.Requests("/token")))
	}
	for name, change := range map[string]func(*Answer){
		"none":   func(a *Answer) { a.State = "" },
		"forged": func(a *Answer) { a.State = oauth.NewSecret("") },
	} {
		b := a
		change(&b)
		if _, err := g.Finish(t.Context(), b); problemOf(err) != RequestEnded {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Run("late", func(t *testing.T) {
		a := g.answerTo(g.start(g.request()))
		g.clock.Advance(15 * time.Minute)
		_, err := g.Finish(t.Context(), a)
		wantProblem(t, err, RequestEnded)
	})
}

func TestStateOfAnotherSite_CL14(t *testing.T) {
	g := newGateway(t)
	a := g.answerTo(g.start(g.request()))
	site := testSite(g.cfg.Servers...)
	site.Issuer = "https://other.example"
	other := New(site, g.Broker.deps)
	_, err := other.Finish(t.Context(), a)
	wantProblem(t, err, RequestEnded)
}

func TestProvidersError_K19(t *testing.T) {
	for code, want := range map[string]client.Problem{
		"access_denied": client.Declined, "server_error": client.ProviderDown, "temporarily_unavailable": client.ProviderDown,
		"invalid_scope": client.Unsupported, "invalid_target": client.Unsupported, "unsupported_response_type": client.Unsupported, "canary<script>": client.ProviderRefused, strings.Repeat("canary", 9999): client.ProviderRefused,
	} {
		g := newGateway(t)
		a := g.answerTo(g.start(g.request()))
		a.Code, a.Error = "", code
		outcome, err := g.Finish(t.Context(), a)
		wantProblem(t, err, want)
		if strings.Contains(err.Error(), "canary") || outcome.ReturnTo != "/oauth/account" || outcome.Connected {
			t.Errorf("%v, %+v", err, outcome)
		}
	}
	for name, code := range map[string]string{"no code": "", "long code": strings.Repeat("c", client.MaxTokenLen+1)} {
		g := newGateway(t)
		a := g.answerTo(g.start(g.request()))
		a.Code = code
		_, err := g.Finish(t.Context(), a)
		if wantProblem(t, err, client.ProviderRefused); len(g.provider.Requests("/token")) != 0 {
			t.Error(name, "was sent")
		}
	}
	for code, want := range map[string]client.Problem{"access_denied": client.Declined, "invalid_scope": client.Unsupported} {
		g := newGateway(t)
		a := g.answerTo(g.start(g.request()))
		a.Error = code
		_, err := g.Finish(t.Context(), a)
		if wantProblem(t, err, want); len(g.provider.Requests("/token")) != 0 {
			t.Error("the code beside the error was used")
		}
	}
}

// A code is sent exactly once, whatever the answer.
func TestOneTokenRequest_K09(t *testing.T) {
	for name, page := range map[string]http.HandlerFunc{
		"refused":        oauthtest.Answer(400, "application/json", `{"error":"invalid_grant"}`),
		"unauthorized":   oauthtest.Answer(401, "application/json", `{"error":"invalid_client"}`),
		"down":           oauthtest.Answer(503, "text/plain", "canary"),
		"garbage":        oauthtest.Answer(200, "application/json", "canary"),
		"cut":            func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect":       oauthtest.Redirect("/token2"),
		"not understood": oauthtest.Answer(418, "text/plain", "canary"),
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			a := g.answerTo(g.start(g.request()))
			g.provider.Page("/token", page)
			g.provider.Page("/token2", page)
			_, err := g.Finish(t.Context(), a)
			if err == nil || strings.Contains(err.Error(), "canary") || !slices.Contains([]client.Problem{client.ProviderRefused, client.ProviderDown, client.Unsupported}, problemOf(err)) {
				t.Errorf("error %v", err)
			}
			if n := len(g.provider.Requests("/token")) + len(g.provider.Requests("/token2")); n != 1 {
				t.Errorf("%d token requests", n)
			}
			if len(g.connections()) != 0 {
				t.Error("connected")
			}
		})
	}
}

func TestConnectAgain(t *testing.T) {
	g := newGateway(t)
	g.connect()
	first, _ := g.connection()
	g.clock.Advance(time.Hour)
	g.provider.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-2", "token_type": "bearer"}))
	g.connect()
	second, s := g.connection()
	if second.ID != first.ID || !second.CreatedAt.Equal(first.CreatedAt) || second.Revision <= first.Revision || !second.UpdatedAt.Equal(g.clock.Now()) {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if s.AccessToken != "at-2" || s.RefreshToken != "" {
		t.Errorf("what is left of the first connection: %+v", s)
	}
}

func TestConnectDuringRefresh(t *testing.T) {
	g := newGateway(t)
	g.connect()
	a := g.answerTo(g.start(g.request()))
	c, _ := g.connection()
	g.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
		c.Lease = "a refresher"
		if _, _, err := g.store.PutConnection(r.Context(), c, g.clock.Now()); err != nil {
			t.Error(err)
		}
		oauthtest.Document(oauthtest.Object{"access_token": "at-2", "token_type": "Bearer"})(w, r)
	})
	if _, err := g.Finish(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if c, s := g.connection(); s.AccessToken != "at-2" || c.Lease != "" {
		t.Errorf("connection %+v %+v", c, s)
	}
}

// A late answer does not bring back what the person ended, nor does it
// bring what they did not want any more before there was anything to end.
func TestDisconnectedMeanwhile_K20(t *testing.T) {
	disconnect := func(g *gateway) {
		k := g.key(testOwner, g.cfg.Servers[0])
		c, _ := g.store.Store.Connection(t.Context(), k, g.clock.Now()) // the zero one if there is none
		c.ConnectionKey = k
		if _, v, err := g.store.Disconnect(t.Context(), c, nil, g.clock.Now()); err != nil || v == storage.Changed {
			t.Errorf("got %v, error %v; want anything but Changed", v, err)
		}
	}
	for name, hook := range map[string]func(g *gateway){
		"before the answer": disconnect,
		"during the exchange": func(g *gateway) {
			g.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
				disconnect(g)
				oauthtest.Document(oauthtest.Object{"access_token": "at", "token_type": "Bearer"})(w, r)
			})
		},
	} {
		for _, connected := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, connected before %v", name, connected), func(t *testing.T) {
				g := newGateway(t)
				g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "revocation_endpoint", g.provider.URL+"/revoke")))
				g.provider.Page("/revoke", func(http.ResponseWriter, *http.Request) {})
				if connected {
					g.connect()
				}
				request := g.start(g.request())
				hook(g)
				exchanged := len(g.provider.Requests("/token"))
				_, err := g.Finish(t.Context(), g.answerTo(request))
				wantProblem(t, err, RequestEnded)
				if len(g.connections()) != 0 {
					t.Error("connected")
				}
				g.Broker.deps.Shared.revocations.Wait()
				came := len(g.provider.Requests("/token")) > exchanged
				revoked := slices.ContainsFunc(g.provider.Requests("/revoke"), func(r oauthtest.Request) bool { return r.Form.Get("token") == "at" })
				if came != revoked {
					t.Errorf("tokens came: %v, and were revoked: %v", came, revoked)
				}
			})
		}
	}
}

func TestConnectionOfFlow(t *testing.T) {
	g := newGateway(t)
	req := g.request()
	req.Owner, req.KeepUntil = storage.FlowOwner("f1"), g.clock.Now().Add(time.Minute)
	req.Authentication = g.inFlow("f1", storage.Identity{Kind: "user_id", Subject: testOwner})
	if _, err := g.Finish(t.Context(), g.answerTo(g.start(req))); err != nil {
		t.Fatal(err)
	}
	c, err := g.store.Connection(t.Context(), g.key(req.Owner, g.cfg.Servers[0]), g.clock.Now())
	if err != nil || !c.ExpiresAt.Equal(req.KeepUntil) {
		t.Errorf("connection %+v", c)
	}
	if opened, err := g.openSecrets(c); err != nil || opened.Person != testOwner {
		t.Errorf("connected by %q, %v", opened.Person, err)
	}
}

func TestMovedInStore_M02_K14(t *testing.T) {
	g := newGateway(t)
	g.connect()
	c, _ := g.connection()
	for name, change := range map[string]func(*storage.Connection){
		"owner":  func(c *storage.Connection) { c.Owner = "user_id:mallory" },
		"server": func(c *storage.Connection) { c.Server = "github" },
		"issuer": func(c *storage.Connection) { c.Issuer = "https://other.example" },
		"id":     func(c *storage.Connection) { c.ID = "other" },
		"bit":    func(c *storage.Connection) { c.Secret = bytes.Clone(c.Secret); c.Secret[len(c.Secret)/2] ^= 1 },
	} {
		moved := c
		change(&moved)
		if _, err := g.openSecrets(moved); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("with another %s: %v, want %v", name, err, seal.ErrOpen)
		}
	}
	for _, secret := range []string{"at-1", "rt-1"} {
		if bytes.Contains(c.Secret, []byte(secret)) {
			t.Error("a token can be read in the store")
		}
	}
	for name, change := range map[string]func(mine, other *storage.ConnectState){
		"another's request": func(mine, _ *storage.ConnectState) { mine.Owner = "user_id:mallory" },
		"another request":   func(mine, other *storage.ConnectState) { mine.Secret = other.Secret },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			a := g.answerTo(g.start(g.request()))
			g.start(g.request())
			s := g.store.states[0]
			change(&s, &g.store.states[1])
			if err := g.store.SaveConnectState(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if outcome, err := g.Finish(t.Context(), a); !errors.Is(err, seal.ErrOpen) {
				t.Errorf("ends as %+v, %v, want %v", outcome, err, seal.ErrOpen)
			}
		})
	}
}

func TestStoreFails_Finish(t *testing.T) {
	broken := errors.New("disk")
	t.Run("before", func(t *testing.T) {
		g := newGateway(t)
		a := g.answerTo(g.start(g.request()))
		g.store.failWith(broken)
		_, err := g.Finish(t.Context(), a)
		if !errors.Is(err, broken) || len(g.provider.Requests("/token")) != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("after", func(t *testing.T) {
		g := newGateway(t)
		a := g.answerTo(g.start(g.request()))
		g.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
			g.store.failWith(broken)
			oauthtest.Document(oauthtest.Object{"access_token": "at", "token_type": "Bearer"})(w, r)
		})
		outcome, err := g.Finish(t.Context(), a)
		if !errors.Is(err, broken) || outcome.Connected {
			t.Errorf("%+v, %v", outcome, err)
		}
	})
}

// Whose connection a server has can change while somebody is at the provider:
// nobody's account becomes everybody's by that, nor the other way round.
func TestModeChangedMeanwhile(t *testing.T) {
	for before, after := range map[config.Mode]config.Mode{config.OAuth: config.PerUserOAuth, config.PerUserOAuth: config.OAuth} {
		t.Run(string(before), func(t *testing.T) {
			g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.Mode = before })
			req := g.request()
			if before == config.OAuth {
				req.Owner = storage.SharedOwner
			}
			a := g.answerTo(g.start(req))
			g.servers["notion"].Auth.Mode = after
			_, err := g.Finish(t.Context(), a)
			wantProblem(t, err, UnknownServer)
			if n := len(g.connections()); n != 0 || len(g.provider.Requests("/token")) != 0 {
				t.Errorf("%d connections, %d codes used", n, len(g.provider.Requests("/token")))
			}
		})
	}
}
