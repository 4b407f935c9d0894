package client

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// The server is where the operator put it, on loopback. What it and its
// provider name is not.
func TestEachHop_K06_CL19_H01(t *testing.T) {
	inner := []string{
		"http://169.254.169.254/latest/meta-data", "https://169.254.169.254/x", "https://127.0.0.1:1/x", "https://[::1]/x",
		"https://10.0.0.1/x", "https://[::ffff:169.254.169.254]/x", "https://[64:ff9b::a9fe:a9fe]/x", "https://localhost/x",
		"https://100.64.0.1/x", "http://metadata.internal/x",
	}
	hops := map[string]func(tc *testClient, address string){
		"resource_metadata": func(tc *testClient, address string) {
			tc.server.Page(prmPath, nil)
			tc.server.Page(asMetadataPath, nil)
			tc.challenge(`Bearer resource_metadata="` + address + `"`)
		},
		"authorization_servers": func(tc *testClient, address string) {
			tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "authorization_servers", []string{address})))
		},
		"token_endpoint": func(tc *testClient, address string) {
			tc.server.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "token_endpoint", address)))
		},
		"registration_endpoint": func(tc *testClient, address string) {
			tc.server.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "registration_endpoint", address)))
		},
		"revocation_endpoint": func(tc *testClient, address string) {
			tc.server.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "revocation_endpoint", address)))
		},
	}
	for hop, point := range hops {
		for _, address := range inner {
			t.Run(hop+" "+address, func(t *testing.T) {
				tc := newTestClient(t)
				tc.inProduction()
				point(tc, address)
				_, err := tc.find()
				wantProblem(t, err, ProviderUnusable)
			})
		}
	}
}

// An address that passes each check can still answer with a redirect.
func TestRedirectAtEachHop_K06_H03(t *testing.T) {
	for name, turn := range map[string]func(tc *testClient, evil string){
		"challenge":    func(tc *testClient, evil string) { tc.server.Page("/mcp", oauthtest.Redirect(evil)) },
		"resource":     func(tc *testClient, evil string) { tc.server.Page(prmPath, oauthtest.Redirect(evil)) },
		"provider":     func(tc *testClient, evil string) { tc.provider.Page(asMetadataPath, oauthtest.Redirect(evil)) },
		"registration": func(tc *testClient, evil string) { tc.provider.Page("/register", oauthtest.Redirect(evil)) },
		"token":        func(tc *testClient, evil string) { tc.provider.Page("/token", oauthtest.Redirect(evil)) },
		"openid discovery": func(tc *testClient, evil string) {
			tc.provider.Page(asMetadataPath, nil)
			tc.provider.Page(oidcPath, oauthtest.Redirect(evil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc, evil := newTestClient(t), oauthtest.NewHost(t)
			turn(tc, evil.URL+"/latest/meta-data")
			p, err := tc.find()
			if err == nil {
				_, err = tc.redeem(p)
			}
			if err == nil && name != "challenge" && name != "resource" {
				t.Errorf("error %v, want one", err)
			}
			if evil.Hits() != 0 {
				t.Errorf("followed: %+v", evil.AllRequests()[0])
			}
		})
	}
}

func TestHostileDocuments_H05_H06(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"x":"`))
		for range 1 << 20 {
			if _, err := w.Write([]byte(strings.Repeat("a", 1024))); err != nil {
				return
			}
		}
	}
	for name, page := range map[string]http.HandlerFunc{
		"endless":     endless,
		"HTML":        oauthtest.Answer(200, "text/html", `<html>`),
		"no JSON":     oauthtest.Answer(200, "application/json", `{`),
		"a list":      oauthtest.Answer(200, "application/json", `[]`),
		"deep":        oauthtest.Answer(200, "application/json", strings.Repeat(`{"a":`, 1000)+strings.Repeat("}", 1000)),
		"repeated":    oauthtest.Answer(200, "application/json", `{"issuer":"a","Issuer":"b"}`),
		"empty":       oauthtest.Answer(200, "application/json", ``),
		"wrong types": oauthtest.Answer(200, "application/json", `{"issuer":1,"resource":1,"authorization_servers":{}}`),
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.server.Page(prmPath, page)
			_, err := tc.find()
			wantProblem(t, err, ProviderUnusable)

			tc = newTestClient(t)
			tc.provider.Page(asMetadataPath, page)
			tc.provider.Page(oidcPath, page)
			_, err = tc.find()
			wantProblem(t, err, ProviderUnusable)
		})
	}
	t.Run("server down", func(t *testing.T) {
		tc := newTestClient(t)
		tc.server.Close()
		_, err := tc.find()
		wantProblem(t, err, ProviderDown)
	})
	t.Run("provider down", func(t *testing.T) {
		tc := newTestClient(t)
		tc.provider.Close()
		_, err := tc.find()
		wantProblem(t, err, ProviderDown)
	})
}
