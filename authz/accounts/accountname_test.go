package accounts

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// tokensWith are a token response with more in it.
func tokensWith(more oauthtest.Object) http.HandlerFunc {
	o := oauthtest.Object{"access_token": "at-1", "refresh_token": "rt-1", "token_type": "Bearer", "expires_in": 3600}
	for name, value := range more {
		o[name] = value
	}
	return oauthtest.Document(o)
}

// The account that a person connected is called what its provider calls it,
// cleaned, and never in the open in the store.
func TestAccountName(t *testing.T) {
	for name, test := range map[string]struct {
		auth     config.Auth
		response func(g *gateway) oauthtest.Object
		page     http.HandlerFunc // /me
		want     string
	}{
		"nobody tells": {},
		"id_token": {response: func(g *gateway) oauthtest.Object {
			claims, _ := json.Marshal(oauthtest.Object{"iss": g.provider.URL, "aud": "dynamic-1", "exp": g.clock.Now().Add(time.Hour).Unix(), "email": "jane@acme.com"})
			return oauthtest.Object{"id_token": "e30." + base64.RawURLEncoding.EncodeToString(claims) + "."}
		}, want: "jane@acme.com"},
		"userinfo": {auth: config.Auth{Scopes: []string{"openid", "read"}}, page: oauthtest.Document(oauthtest.Object{"preferred_username": "jane"}), want: "jane"},
		"token response": {
			auth: config.Auth{AccountName: []string{"who", "workspace"}},
			response: func(*gateway) oauthtest.Object {
				return oauthtest.Object{"who": " jane@acme.com ", "workspace": "Acme"}
			}, want: "jane@acme.com · Acme",
		},
		"what cannot be seen": {
			auth: config.Auth{AccountName: []string{"who", "workspace", "third"}},
			response: func(*gateway) oauthtest.Object {
				return oauthtest.Object{"who": "jane\u202egro", "workspace": "\n", "third": "Acme"}
			}, want: "Acme",
		},
		"a long one": {
			auth:     config.Auth{AccountName: []string{"who"}},
			response: func(*gateway) oauthtest.Object { return oauthtest.Object{"who": strings.Repeat("é", 200)} }, want: strings.Repeat("é", maxAccountName),
		},
		"a URL that fails": {auth: config.Auth{AccountName: []string{"login"}, AccountURL: "/me"}, page: oauthtest.Answer(500, "", "")},
		"a URL":            {auth: config.Auth{AccountName: []string{"login"}, AccountURL: "/me"}, page: oauthtest.Document(oauthtest.Object{"login": "jane"}), want: "jane"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, func(_ *config.Site, s *config.Server) {
				s.Auth.Scopes, s.Auth.AccountName = test.auth.Scopes, test.auth.AccountName
			})
			if test.auth.AccountURL != "" {
				g.cfg.Servers[0].Auth.AccountURL = g.provider.URL + test.auth.AccountURL
			}
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "userinfo_endpoint", g.provider.URL+"/me")))
			if test.page != nil {
				g.provider.Page("/me", test.page)
			}
			if test.response != nil {
				g.provider.Page("/token", tokensWith(test.response(g)))
			}
			g.connect()
			if n := len(g.provider.Requests("/me")); (n == 1) != (test.page != nil) {
				t.Errorf("/me was asked %d times", n)
			}
			g.wantAccount(test.want)
			// A refresh asks nobody again, and keeps it.
			g.provider.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-2", "token_type": "Bearer"}))
			if test.page != nil {
				g.provider.Page("/me", oauthtest.Document(oauthtest.Object{"login": "other", "preferred_username": "other"}))
			}
			if _, err := g.Refused(t.Context(), testOwner, "notion", bearer("at-1")); err != nil {
				t.Fatal("refresh:", err)
			}
			g.wantAccount(test.want)
		})
	}
}

// wantAccount checks what people, operators and the store have of the account.
func (g *gateway) wantAccount(want string) {
	g.t.Helper()
	all, err := g.Status(g.t.Context(), testOwner)
	if err != nil || len(all) != 1 || all[0].Account != want || all[0].State != storage.Active {
		g.t.Errorf("status %+v, %v; want %q", all, err, want)
	}
	overviews, err := g.OverviewsOf(g.t.Context(), "")
	if err != nil || len(overviews) != 1 || overviews[0].Account != want {
		g.t.Errorf("overviews %+v, %v; want %q", overviews, err, want)
	}
	c, _ := g.connection()
	if record, err := json.Marshal(c); err != nil || want != "" && bytes.Contains(record, []byte(want)) {
		g.t.Errorf("the record has the name in the open: %s, %v", record, err)
	}
}

// A provider that does not answer keeps nobody from connecting.
func TestAccountNameTakesNoTime(t *testing.T) {
	g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.Scopes = []string{"openid"} })
	g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "userinfo_endpoint", g.provider.URL+"/me")))
	g.provider.Page("/me", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	began := time.Now()
	g.connect()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	g.wantAccount("")
}

// What was connected in a flow keeps its name when it becomes the person's.
func TestAccountNameIsAdopted(t *testing.T) {
	v := newVault(t)
	v.connectAs(flowOwner, "notion", endsIn(v, time.Hour), func(_ *storage.Connection, s *secrets) { s.Account = "jane@acme.com" })
	v.identify(alice)
	if verdict := v.submit(alice, v.adopt(alice)); verdict != storage.OK {
		t.Fatalf("submitted: %v", verdict)
	}
	if got := v.status(alice)[0]; got.Account != "jane@acme.com" || got.State != storage.Active {
		t.Errorf("status %+v", got)
	}
}
