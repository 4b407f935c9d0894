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

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

func TestConnect_CL11(t *testing.T) {
	l := newLab(t, func(_ *config.Site, s *config.Server) { s.Auth.Scopes = []string{"a", "b"} })
	request := l.start(l.request())
	outcome, err := l.Finish(t.Context(), l.answerTo(request))
	if err != nil || outcome != (Outcome{Server: "notion", Owner: testOwner, ReturnTo: "/oauth/account", Connected: true}) {
		t.Fatalf("outcome %+v, %v", outcome, err)
	}
	r := l.provider.Requests("/token")
	if len(r) != 1 {
		t.Fatalf("%d token requests", len(r))
	}
	sum := sha256.Sum256([]byte(r[0].Form.Get("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != request.Get("code_challenge") {
		t.Error("the verifier does not fit the challenge")
	}
	for name, want := range map[string]string{
		"grant_type": "authorization_code", "code": "code-1", "redirect_uri": request.Get("redirect_uri"), "resource": l.server.URL + "/mcp",
	} {
		if got := r[0].Form[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	// RFC 6749 section 2.3.1: encoded before they are joined.
	if got := r[0].Header.Get("Authorization"); got != "Basic "+base64.StdEncoding.EncodeToString([]byte("dynamic-1:s%2F1%2B%25")) {
		t.Errorf("Authorization %q", got)
	}
	c, s := l.connection()
	if c.State != storage.Active || c.ID == "" || !c.TokenExpiresAt.Equal(l.now.Add(time.Hour)) || !c.ExpiresAt.IsZero() ||
		c.Provider != l.provider.URL || strings.Join(c.Scopes, " ") != "a b" || !c.CreatedAt.Equal(l.now) {
		t.Errorf("connection %+v", c)
	}
	if s.AccessToken != "at-1" || s.RefreshToken != "rt-1" || s.Binding.ClientID != "dynamic-1" || s.Binding.TokenEndpoint != l.provider.URL+"/token" || s.Binding.Resource != l.server.URL+"/mcp" {
		t.Errorf("secrets %+v", s)
	}
}

func TestIssuerOfAnswer_CL12_K02_K03(t *testing.T) {
	honest := func(l *lab) string { return l.provider.URL }
	none := func(*lab) string { return "" }
	for name, tt := range map[string]struct {
		advertised bool
		iss        func(l *lab) string
		ok         bool
	}{
		"advertised, equal":      {true, honest, true},
		"advertised, differs":    {true, func(*lab) string { return "https://evil.example" }, false},
		"advertised, absent":     {true, none, false},
		"not advertised, equal":  {false, honest, true},
		"not advertised, differ": {false, func(*lab) string { return "https://evil.example" }, false},
		"not advertised, absent": {false, none, true},
		"a slash more":           {false, func(l *lab) string { return l.provider.URL + "/" }, false},
		"upper case":             {false, func(l *lab) string { return strings.ToUpper(l.provider.URL) }, false},
		"encoded":                {false, func(l *lab) string { return strings.Replace(l.provider.URL, ":", "%3A", 1) }, false},
	} {
		for _, failed := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				l := newLab(t)
				l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "authorization_response_iss_parameter_supported", tt.advertised)))
				a := l.answerTo(l.start(l.request()))
				a.Iss = tt.iss(l)
				if failed {
					a.Code, a.Error = "", "access_denied"
				}
				_, err := l.Finish(t.Context(), a)
				switch {
				case !tt.ok:
					// Nor is the error of such an answer believed.
					wantProblem(t, err, NotThatProvider)
				case failed:
					wantProblem(t, err, Declined)
				case err != nil:
					t.Error(err)
				}
				if n := len(l.provider.Requests("/token")); (n == 1) != (tt.ok && !failed) {
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
		l := newLab(t)
		a := l.answerTo(l.start(l.request()))
		a.Path = path
		outcome, err := l.Finish(t.Context(), a)
		wantProblem(t, err, NotThatProvider)
		if len(l.provider.Requests("/token")) != 0 || outcome.Connected {
			t.Errorf("%q: the code was used", path)
		}
		a.Path = "/api/oauth/callback/notion"
		_, err = l.Finish(t.Context(), a)
		wantProblem(t, err, RequestEnded)
	}
}

// A hostile server's provider sends the browser on to an honest one, with its
// own state. What comes back is not sent to the hostile token endpoint.
func TestMixUp_K02(t *testing.T) {
	evil, honest := newLab(t), newLab(t)
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
		wantProblem(t, err, NotThatProvider)
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
	l := newLab(t)
	a := l.answerTo(l.start(l.request()))
	right := a.Browser
	for _, other := range []storage.Hash{storage.HashOf("mallory's browser"), {}} {
		a.Browser = other
		outcome, err := l.Finish(t.Context(), a)
		wantProblem(t, err, OtherBrowser)
		if outcome != (Outcome{}) {
			t.Errorf("told about another's request: %+v", outcome)
		}
	}
	if len(l.provider.Requests("/token")) != 0 || len(l.connections()) != 0 {
		t.Error("something happened all the same")
	}
	a.Browser = right
	if _, err := l.Finish(t.Context(), a); err != nil {
		t.Errorf("the right browser afterwards: %v", err)
	}
}

func TestStateIsUsedOnce_CL14(t *testing.T) {
	l := newLab(t)
	a := l.answerTo(l.start(l.request()))
	var connected atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			_, err := l.Finish(t.Context(), a)
			if err == nil {
				connected.Add(1)
			} else if problemOf(err) != RequestEnded {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if connected.Load() != 1 || len(l.provider.Requests("/token")) != 1 {
		t.Errorf("%d connected, %d token requests", connected.Load(), len(l.provider.Requests("/token")))
	}
	for name, change := range map[string]func(*Answer){
		"none":   func(a *Answer) { a.State = "" },
		"forged": func(a *Answer) { a.State = oauth.NewSecret("") },
	} {
		b := a
		change(&b)
		if _, err := l.Finish(t.Context(), b); problemOf(err) != RequestEnded {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Run("late", func(t *testing.T) {
		a := l.answerTo(l.start(l.request()))
		l.now = l.now.Add(15 * time.Minute)
		_, err := l.Finish(t.Context(), a)
		wantProblem(t, err, RequestEnded)
	})
}

func TestStateOfAnotherSite_CL14(t *testing.T) {
	l := newLab(t)
	a := l.answerTo(l.start(l.request()))
	site := testSite(l.cfg.Servers...)
	site.Issuer = "https://other.example"
	other := New(site, l.Broker.deps)
	_, err := other.Finish(t.Context(), a)
	wantProblem(t, err, RequestEnded)
}

func TestProvidersError_K19(t *testing.T) {
	for code, want := range map[string]Problem{
		"access_denied": Declined, "server_error": ProviderDown, "temporarily_unavailable": ProviderDown,
		"invalid_scope": Unsupported, "invalid_target": Unsupported, "unsupported_response_type": Unsupported, "canary<script>": ProviderRefused, strings.Repeat("canary", 9999): ProviderRefused,
	} {
		l := newLab(t)
		a := l.answerTo(l.start(l.request()))
		a.Code, a.Error = "", code
		outcome, err := l.Finish(t.Context(), a)
		wantProblem(t, err, want)
		if strings.Contains(err.Error(), "canary") || outcome.ReturnTo != "/oauth/account" || outcome.Connected {
			t.Errorf("%v, %+v", err, outcome)
		}
	}
	for name, code := range map[string]string{"no code": "", "long code": strings.Repeat("c", client.MaxTokenLen+1)} {
		l := newLab(t)
		a := l.answerTo(l.start(l.request()))
		a.Code = code
		_, err := l.Finish(t.Context(), a)
		if wantProblem(t, err, ProviderRefused); len(l.provider.Requests("/token")) != 0 {
			t.Error(name, "was sent")
		}
	}
	for code, want := range map[string]Problem{"access_denied": Declined, "invalid_scope": Unsupported} {
		l := newLab(t)
		a := l.answerTo(l.start(l.request()))
		a.Error = code
		_, err := l.Finish(t.Context(), a)
		if wantProblem(t, err, want); len(l.provider.Requests("/token")) != 0 {
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
			l := newLab(t)
			a := l.answerTo(l.start(l.request()))
			l.provider.Page("/token", page)
			l.provider.Page("/token2", page)
			_, err := l.Finish(t.Context(), a)
			if err == nil || strings.Contains(err.Error(), "canary") || !slices.Contains([]Problem{ProviderRefused, ProviderDown, Unsupported}, problemOf(err)) {
				t.Errorf("error %v", err)
			}
			if n := len(l.provider.Requests("/token")) + len(l.provider.Requests("/token2")); n != 1 {
				t.Errorf("%d token requests", n)
			}
			if len(l.connections()) != 0 {
				t.Error("connected")
			}
		})
	}
}

func TestConnectAgain(t *testing.T) {
	l := newLab(t)
	l.connect()
	first, _ := l.connection()
	l.now = l.now.Add(time.Hour)
	l.provider.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-2", "token_type": "bearer"}))
	l.connect()
	second, s := l.connection()
	if second.ID != first.ID || !second.CreatedAt.Equal(first.CreatedAt) || second.Revision <= first.Revision || !second.UpdatedAt.Equal(l.now) {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if s.AccessToken != "at-2" || s.RefreshToken != "" {
		t.Errorf("what is left of the first connection: %+v", s)
	}
}

func TestConnectDuringRefresh(t *testing.T) {
	l := newLab(t)
	l.connect()
	a := l.answerTo(l.start(l.request()))
	c, _ := l.connection()
	l.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
		c.Lease = "a refresher"
		if _, _, err := l.store.PutConnection(r.Context(), c, l.now); err != nil {
			t.Error(err)
		}
		oauthtest.Document(oauthtest.Object{"access_token": "at-2", "token_type": "Bearer"})(w, r)
	})
	if _, err := l.Finish(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if c, s := l.connection(); s.AccessToken != "at-2" || c.Lease != "" {
		t.Errorf("connection %+v %+v", c, s)
	}
}

// A late answer does not bring back what the person ended, nor does it
// bring what they did not want any more before there was anything to end.
func TestDisconnectedMeanwhile_K20(t *testing.T) {
	disconnect := func(l *lab) {
		k := l.key(testOwner, l.cfg.Servers[0])
		c, _ := l.store.Store.Connection(t.Context(), k, l.now) // the zero one if there is none
		c.ConnectionKey = k
		if _, v, err := l.store.Disconnect(t.Context(), c, nil, l.now); err != nil || v == storage.Changed {
			t.Error(v, err)
		}
	}
	for name, hook := range map[string]func(l *lab){
		"before the answer": disconnect,
		"during the exchange": func(l *lab) {
			l.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
				disconnect(l)
				oauthtest.Document(oauthtest.Object{"access_token": "at", "token_type": "Bearer"})(w, r)
			})
		},
	} {
		for _, connected := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, connected before %v", name, connected), func(t *testing.T) {
				l := newLab(t)
				l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "revocation_endpoint", l.provider.URL+"/revoke")))
				l.provider.Page("/revoke", func(http.ResponseWriter, *http.Request) {})
				if connected {
					l.connect()
				}
				request := l.start(l.request())
				hook(l)
				exchanged := len(l.provider.Requests("/token"))
				_, err := l.Finish(t.Context(), l.answerTo(request))
				wantProblem(t, err, RequestEnded)
				if len(l.connections()) != 0 {
					t.Error("connected")
				}
				l.Broker.deps.Shared.revocations.Wait()
				came := len(l.provider.Requests("/token")) > exchanged
				revoked := slices.ContainsFunc(l.provider.Requests("/revoke"), func(r oauthtest.Request) bool { return r.Form.Get("token") == "at" })
				if came != revoked {
					t.Errorf("tokens came: %v, and were revoked: %v", came, revoked)
				}
			})
		}
	}
}

func TestConnectionOfFlow(t *testing.T) {
	l := newLab(t)
	req := l.request()
	req.Owner, req.KeepUntil = storage.FlowOwner("f1"), l.now.Add(time.Minute)
	req.Authentication = l.inFlow("f1", storage.Identity{Kind: "user_id", Subject: testOwner})
	if _, err := l.Finish(t.Context(), l.answerTo(l.start(req))); err != nil {
		t.Fatal(err)
	}
	c, err := l.store.Connection(t.Context(), l.key(req.Owner, l.cfg.Servers[0]), l.now)
	if err != nil || !c.ExpiresAt.Equal(req.KeepUntil) {
		t.Errorf("connection %+v", c)
	}
	if opened, err := l.openSecrets(c); err != nil || opened.Person != testOwner {
		t.Errorf("connected by %q, %v", opened.Person, err)
	}
}

func TestMovedInStore_M02_K14(t *testing.T) {
	l := newLab(t)
	l.connect()
	c, _ := l.connection()
	for name, change := range map[string]func(*storage.Connection){
		"owner":  func(c *storage.Connection) { c.Owner = "user_id:mallory" },
		"server": func(c *storage.Connection) { c.Server = "github" },
		"issuer": func(c *storage.Connection) { c.Issuer = "https://other.example" },
		"id":     func(c *storage.Connection) { c.ID = "other" },
		"bit":    func(c *storage.Connection) { c.Secret = bytes.Clone(c.Secret); c.Secret[len(c.Secret)/2] ^= 1 },
	} {
		moved := c
		change(&moved)
		if _, err := l.openSecrets(moved); !errors.Is(err, seal.ErrOpen) {
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
			l := newLab(t)
			a := l.answerTo(l.start(l.request()))
			l.start(l.request())
			s := l.store.states[0]
			change(&s, &l.store.states[1])
			if err := l.store.SaveConnectState(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if outcome, err := l.Finish(t.Context(), a); !errors.Is(err, seal.ErrOpen) {
				t.Errorf("ends as %+v, %v, want %v", outcome, err, seal.ErrOpen)
			}
		})
	}
}

func TestStoreFails_Finish(t *testing.T) {
	broken := errors.New("disk")
	t.Run("before", func(t *testing.T) {
		l := newLab(t)
		a := l.answerTo(l.start(l.request()))
		l.store.failWith(broken)
		_, err := l.Finish(t.Context(), a)
		if !errors.Is(err, broken) || len(l.provider.Requests("/token")) != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("after", func(t *testing.T) {
		l := newLab(t)
		a := l.answerTo(l.start(l.request()))
		l.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
			l.store.failWith(broken)
			oauthtest.Document(oauthtest.Object{"access_token": "at", "token_type": "Bearer"})(w, r)
		})
		outcome, err := l.Finish(t.Context(), a)
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
			l := newLab(t, func(_ *config.Site, s *config.Server) { s.Auth.Mode = before })
			req := l.request()
			if before == config.OAuth {
				req.Owner = storage.SharedOwner
			}
			a := l.answerTo(l.start(req))
			l.servers["notion"].Auth.Mode = after
			_, err := l.Finish(t.Context(), a)
			wantProblem(t, err, UnknownServer)
			if n := len(l.connections()); n != 0 || len(l.provider.Requests("/token")) != 0 {
				t.Errorf("%d connections, %d codes used", n, len(l.provider.Requests("/token")))
			}
		})
	}
}
