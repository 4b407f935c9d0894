package accounts

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func newKeyGateway(t *testing.T) *gateway {
	g := newGateway(t, func(_ *config.Site, s *config.Server) {
		s.Auth.Mode = config.PerUserHeaders
		s.Auth.Headers = []config.AuthHeader{{Name: "authorization", Label: "API key", Prefix: "Bearer "}, {Name: "X-Team"}}
	})
	return g
}

var pasted = map[string]string{"authorization": " key-1\n", "X-Team": "blue", "X-Evil": "other"}

func TestConnectHeaders_CL24(t *testing.T) {
	guarded := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer key-1" || r.Header.Get("X-Team") != "blue" || r.Header.Get("X-Evil") != "" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next(w, r)
		}
	}
	for name, server := range map[string]http.HandlerFunc{"current revision": oauthtest.StatelessServer, "earlier revision": oauthtest.SessionServer} {
		t.Run(name, func(t *testing.T) {
			g := newKeyGateway(t)
			g.server.Page("/mcp", guarded(server))
			until := g.clock.Now().Add(time.Minute)
			if err := g.ConnectHeaders(t.Context(), ConnectRequest{Owner: testOwner, Server: "notion", KeepUntil: until}, pasted); err != nil {
				t.Fatal(err)
			}
			c, s := g.connection()
			want := []CredentialHeader{{"Authorization", "Bearer key-1"}, {"X-Team", "blue"}}
			if c.State != storage.Active || c.Provider != "" || !c.ExpiresAt.Equal(until) || len(s.Headers) != 2 || s.Headers[0] != want[0] || s.Headers[1] != want[1] {
				t.Errorf("connection %+v %+v", c, s)
			}
			if strings.Contains(string(c.Secret), "key-1") {
				t.Error("the key is not sealed")
			}
			requests := g.server.Requests("/mcp")
			last := requests[len(requests)-1]
			if name == "earlier revision" && (last.Method != http.MethodDelete || last.Header.Get("Mcp-Session-Id") != "s1") {
				t.Errorf("the session is left open: %+v", last)
			}
		})
	}
}

func TestWrongKey_CL24(t *testing.T) {
	elsewhere := oauthtest.NewHost(t)
	for name, tt := range map[string]struct {
		page http.HandlerFunc
		want client.Problem
	}{
		"unauthorized":        {oauthtest.Answer(401, "text/plain", "canary"), WrongKey},
		"forbidden":           {oauthtest.Answer(403, "text/plain", "canary"), WrongKey},
		"down":                {oauthtest.Answer(503, "text/plain", "canary"), client.ProviderDown},
		"not an MCP server":   {oauthtest.Answer(200, "text/html", "<canary>"), client.Unsupported},
		"error":               {oauthtest.Answer(200, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"message":"canary"}}`), client.Unsupported},
		"redirect":            {oauthtest.Redirect(elsewhere.URL), client.Unsupported},
		"legacy, wrong key":   {func(w http.ResponseWriter, r *http.Request) { refuseInitialize(w, r) }, WrongKey},
		"stream never speaks": {oauthtest.Answer(200, "text/event-stream", ": nothing\n\n"), client.Unsupported},
		"no HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(c, "canary\r\n\r\n")
			c.Close()
		}, client.ProviderDown},
	} {
		t.Run(name, func(t *testing.T) {
			g := newKeyGateway(t)
			g.server.Page("/mcp", tt.page)
			err := g.ConnectHeaders(t.Context(), ConnectRequest{Owner: testOwner, Server: "notion"}, pasted)
			wantProblem(t, err, tt.want)
			if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "key-1") || len(g.connections()) != 0 {
				t.Errorf("%v, %d connections", err, len(g.connections()))
			}
		})
	}
	if elsewhere.Hits() != 0 {
		t.Errorf("K13: the key went elsewhere: %+v", elsewhere.AllRequests()[0].Header)
	}
}

func refuseInitialize(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if strings.Contains(string(body), `"initialize"`) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.WriteHeader(http.StatusBadRequest)
}

func TestPastedValues(t *testing.T) {
	for name, value := range map[string]string{
		"none": "", "white space": " \t", "line break inside": "a\r\nX-Evil: 1", "NUL": "a\x00b", "long": strings.Repeat("a", maxKeyLen+1), "only the prefix": "Bearer ",
	} {
		t.Run(name, func(t *testing.T) {
			g := newKeyGateway(t)
			g.server.Page("/mcp", oauthtest.StatelessServer)
			err := g.ConnectHeaders(t.Context(), ConnectRequest{Owner: testOwner, Server: "notion"}, map[string]string{"authorization": value, "X-Team": "blue"})
			wantProblem(t, err, WrongKey)
			if g.server.Hits() != 0 {
				t.Error("it was sent")
			}
		})
	}
	t.Run("prefix pasted along", func(t *testing.T) {
		g := newKeyGateway(t)
		g.server.Page("/mcp", oauthtest.StatelessServer)
		if err := g.ConnectHeaders(t.Context(), ConnectRequest{Owner: testOwner, Server: "notion"}, map[string]string{"authorization": "Bearer key-1", "X-Team": "b"}); err != nil {
			t.Fatal(err)
		}
		if _, s := g.connection(); s.Headers[0].Value != "Bearer key-1" {
			t.Errorf("value %q", s.Headers[0].Value)
		}
	})
	t.Run("not that kind of server", func(t *testing.T) {
		err := newGateway(t).ConnectHeaders(t.Context(), ConnectRequest{Owner: testOwner, Server: "notion"}, pasted)
		wantProblem(t, err, UnknownServer)
	})
}

func TestVerifyURL(t *testing.T) {
	for status, want := range map[int]client.Problem{200: "", 204: "", 401: WrongKey, 403: WrongKey, 302: client.Unsupported, 500: client.ProviderDown} {
		g := newKeyGateway(t)
		g.cfg.Servers[0].Auth.VerifyURL = g.provider.URL + "/me"
		g.provider.Page("/me", oauthtest.Answer(status, "text/plain", ""))
		err := g.ConnectHeaders(t.Context(), ConnectRequest{Owner: testOwner, Server: "notion"}, pasted)
		wantProblem(t, err, want)
		r := g.provider.Requests("/me")
		if len(r) != 1 || r[0].Method != http.MethodGet || r[0].Header.Get("Authorization") != "Bearer key-1" || g.server.Hits() != 0 {
			t.Errorf("asked %+v", r)
		}
	}
}

// What happens while the server looks at a new key.
func TestChangedWhileVerifying(t *testing.T) {
	disconnect := func(g *gateway) error { return g.Disconnect(t.Context(), testOwner, "notion") }
	paste := func(g *gateway) error {
		return g.ConnectHeaders(t.Context(), ConnectRequest{Owner: testOwner, Server: "notion"}, pasted)
	}
	for name, tt := range map[string]struct {
		connected bool
		meanwhile func(g *gateway) error
		want      client.Problem
		left      int
	}{
		"nothing":                   {true, nil, "", 1},
		"disconnected":              {true, disconnect, RequestEnded, 0},
		"replaced":                  {true, paste, "", 1},
		"connected for the first":   {false, paste, Replaced, 1},
		"disconnected without any":  {false, disconnect, RequestEnded, 0},
		"disconnected, pasted anew": {true, func(g *gateway) error { return errors.Join(disconnect(g), paste(g)) }, Replaced, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := newKeyGateway(t)
			g.server.Page("/mcp", oauthtest.StatelessServer)
			if tt.connected {
				if err := paste(g); err != nil {
					t.Fatal(err)
				}
			}
			g.server.Page("/mcp", func(w http.ResponseWriter, r *http.Request) {
				g.server.Page("/mcp", oauthtest.StatelessServer)
				if tt.meanwhile != nil {
					if err := tt.meanwhile(g); err != nil {
						t.Error(err)
					}
				}
				oauthtest.StatelessServer(w, r)
			})
			values := map[string]string{"authorization": "key-2", "X-Team": "blue"}
			err := g.ConnectHeaders(t.Context(), ConnectRequest{Owner: testOwner, Server: "notion"}, values)
			wantProblem(t, err, tt.want)
			if n := len(g.connections()); n != tt.left {
				t.Fatalf("%d connections, want %d", n, tt.left)
			}
			if tt.left == 0 {
				return
			}
			want := "Bearer key-2"
			if tt.want != "" {
				want = "Bearer key-1"
			}
			if _, s := g.connection(); s.Headers[0].Value != want {
				t.Errorf("the key is %q", s.Headers[0].Value)
			}
		})
	}
}
