package caddymodule

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/neighbours"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// singleSignOn is a server that Caddy's forward_auth asks: it lets in who has a
// cookie of its session, and names the user unless it lets everybody in.
func singleSignOn(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := r.Cookie("sso")
		switch {
		case r.URL.Path != "/api/authz/forward-auth":
			w.WriteHeader(http.StatusNotFound)
		case err == nil && session.Value == "nobody-in-particular": // a rule that lets everybody in
			w.WriteHeader(http.StatusOK)
		case err != nil:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("Remote-User", session.Value)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// atSSO is a browser with a session there, which sends headers of its own too.
type atSSO struct {
	http.RoundTripper
	user   string
	forged http.Header
}

func (s atSSO) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if s.user != "" {
		r.AddCookie(&http.Cookie{Name: "sso", Value: s.user})
	}
	for name, values := range s.forged {
		r.Header[name] = values
	}
	return s.RoundTripper.RoundTrip(r)
}

// forgeries are the ways in which a client says who it would like to be.
var forgeries = http.Header{
	"Remote-User": {"mallory"}, "X-Forwarded-User": {"mallory"}, "Http.reverse_proxy.header.remote-User": {"mallory"},
	"Rp.header.remote-User": {"mallory"},
}

// forwardAuth returns the example, and the gateway that it is for.
func forwardAuth(t *testing.T, lines ...string) (*instance, string) {
	t.Helper()
	example, err := os.ReadFile("../examples/forward-auth.caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	up, sso := oauthtest.Serve(t, nil), singleSignOn(t)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	global, _, _ := strings.Cut(g.caddyfile(""), "http://"+g.addr)
	text := strings.NewReplacer(append(lines, "http://localhost:8080", "http://"+g.addr, "bind 127.0.0.1\n", "bind 127.0.0.1\nheader X-Loaded 2\n",
		"127.0.0.1:9091", sso.Listener.Addr().String(), "http://127.0.0.1:3001/mcp", up.URL)...).Replace(string(example))
	g.written = 2
	g.load(global + text)
	return g, global + text
}

// E07: behind forward_auth, as in the example, the user of the single sign-on
// signs in, whatever the client says besides.
func TestForwardAuth_E07(t *testing.T) {
	g, _ := forwardAuth(t)
	g.identity = "elsewhere"
	for name, forged := range map[string]http.Header{"honest": nil, "with headers of its own": forgeries} {
		t.Run(name, func(t *testing.T) {
			g.browser, g.browse = nil, atSSO{once, "bob", forged}
			token := accessToken(t, g.signIn("client", g.url+"/mcp"))
			status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusOK)
			if !strings.Contains(g.pages, "bob") || strings.Contains(g.pages, "mallory") {
				t.Error("the pages do not show bob, or show mallory")
			}
		})
	}
}

// E07, E23: nobody becomes somebody by a header, neither where forward_auth
// asks nor where its matcher was forgotten.
func TestForwardAuthCannotBeForged_E07_E23(t *testing.T) {
	const guarded = "@pages path /oauth/consent* /oauth/account* /oauth/connect* /api/oauth/per-user/consent/* /api/oauth/per-user/upstream/*"
	for name, test := range map[string]struct {
		matcher, user string
		want          int
	}{
		"guarded, no session":          {guarded, "", http.StatusUnauthorized},
		"guarded, everybody is let in": {guarded, "nobody-in-particular", http.StatusOK},
		"not guarded":                  {"@pages path /elsewhere", "", http.StatusOK},
		"not guarded, with a session":  {"@pages path /elsewhere", "bob", http.StatusOK},
	} {
		for how, copied := range map[string]string{"": "", " and copied": "uri /api/authz/forward-auth\ncopy_headers Remote-User"} {
			t.Run(name+how, func(t *testing.T) {
				lines := []string{guarded, test.matcher}
				if copied != "" {
					lines = append(lines, "uri /api/authz/forward-auth", copied)
				}
				g, _ := forwardAuth(t, lines...)
				client := &http.Client{Transport: atSSO{once, test.user, forgeries}}
				for _, path := range []string{"/oauth/account", "/oauth/account?x=1"} {
					res, err := client.Get(g.url + path)
					if err != nil {
						t.Fatal(err)
					}
					if body := status(t, res, test.want); strings.Contains(body, "mallory") || strings.Contains(body, "Continue as") {
						t.Errorf("%s: somebody is signed in:\n%s", path, body)
					}
				}
			})
		}
	}
}

// A certificate names its holder if Caddy has verified it, and else nobody.
func TestUserOfClientCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bob"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{Site: config.Site{Identities: []config.Identity{{Kind: "caddy", User: "{http.request.tls.client.subject}"}}}}
	h.user = h.UserPlaceholder()
	for want, state := range map[string]*tls.ConnectionState{
		"CN=bob": {PeerCertificates: []*x509.Certificate{certificate}, VerifiedChains: [][]*x509.Certificate{{certificate}}},
		"":       {PeerCertificates: []*x509.Certificate{certificate}},
	} {
		r := httptest.NewRequest("GET", "https://mcp.example.com/oauth/account", nil)
		r.TLS = state
		repl := caddy.NewReplacer()
		repl.Map(func(name string) (any, bool) {
			return state.PeerCertificates[0].Subject.String(), name == "http.request.tls.client.subject"
		})
		r = neighbours.WithUser(r.WithContext(contextWith(r, repl)), h.user)
		if id, _ := identity.FromContext(r.Context()); id.Name != want {
			t.Errorf("verified %v: user %q, want %q", state.VerifiedChains != nil, id.Name, want)
		}
	}
}

func contextWith(r *http.Request, repl *caddy.Replacer) context.Context {
	return context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl)
}
