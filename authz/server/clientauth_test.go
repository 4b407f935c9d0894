package server

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// authConfig adds a client per authentication method. All secrets are testSecret.
func authConfig(c *siteConfig) {
	secret := storage.HashOf(testSecret)
	for id, method := range map[string]string{"public": oauth.AuthNone, "basic": oauth.AuthSecretBasic, "post": oauth.AuthSecretPost, "either": ""} {
		client := clients.Client{ID: id, SecretHash: &secret, Metadata: oauth.ClientMetadata{RedirectURIs: []string{testRedirect}, TokenEndpointAuthMethod: method}}
		if id == "public" {
			client.SecretHash = nil
		}
		c.Clients = append(c.Clients, client)
	}
}

func basicAuth(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// authenticate asks who makes a request with the headers and parameters.
func (ts *testServer) authenticate(address string, authorization []string, parameters ...string) (*clients.Authenticated, error) {
	r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, nil)
	r.RemoteAddr = address
	r.Header["Authorization"] = authorization
	return ts.as.authenticator.Authenticate(r, with(url.Values{}, parameters...))
}

func TestRefusalOnTheWire_C02(t *testing.T) {
	ts := newTestServer(t, authConfig)
	r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, strings.NewReader(redemption("x").Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("basic", "wrong")
	got := ts.reply(ts.serve(r))
	ts.want(got, http.StatusUnauthorized, "invalid_client")
	if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("challenge %q", got.header.Get("WWW-Authenticate"))
	}
}

func TestBruteForce_C17(t *testing.T) {
	const attacker, owner = "192.0.2.66", "192.0.2.7"
	guess := func(ts *testServer, address, id, secret string) int {
		_, err := ts.authenticate(address, nil, "client_id", id, "client_secret", secret)
		if err == nil {
			return http.StatusOK
		}
		return oauth.AsError(err).Status
	}
	t.Run("per client", func(t *testing.T) {
		ts := newTestServer(t, authConfig)
		statuses := map[int]int{}
		for range 20 {
			statuses[guess(ts, attacker, "post", "wrong")]++
		}
		if statuses[http.StatusUnauthorized] != authFailuresPerClient || statuses[http.StatusTooManyRequests] != 20-authFailuresPerClient {
			t.Errorf("answers %v", statuses)
		}
		if got := guess(ts, attacker, "post", testSecret); got != http.StatusOK {
			t.Errorf("the right secret among the guesses: %d", got)
		}
		form := url.Values{"grant_type": {"authorization_code"}, "client_id": {"post"}, "client_secret": {"wrong"}}
		r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = attacker
		w := ts.serve(r)
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("the answer: %d %v", w.Code, w.Header())
		}
		if got := guess(ts, owner, "post", testSecret); got != http.StatusOK {
			t.Errorf("the right secret from elsewhere: %d", got)
		}
		if got := guess(ts, attacker, "either", testSecret); got != http.StatusOK {
			t.Errorf("another client at that address: %d", got)
		}
		if _, err := ts.authenticate(attacker, nil, "client_id", "public"); err != nil {
			t.Errorf("a public client at that address: %v", err)
		}
	})
	t.Run("success costs nothing", func(t *testing.T) {
		ts := newTestServer(t, authConfig)
		for range 200 {
			if got := guess(ts, owner, "post", testSecret); got != http.StatusOK {
				t.Fatalf("got %d", got)
			}
		}
	})
	t.Run("the server's failures cost nothing", func(t *testing.T) {
		ts := newTestServer(t)
		reg := ts.register(`{"redirect_uris":["https://c.example/cb"],"token_endpoint_auth_method":"client_secret_post"}`)
		ts.store.failing("*", func() {
			for range 20 {
				if got := guess(ts, owner, reg.ID, reg.Secret); got != http.StatusServiceUnavailable {
					t.Fatalf("got %d", got)
				}
			}
		})
		if got := guess(ts, owner, reg.ID, reg.Secret); got != http.StatusOK {
			t.Errorf("afterwards %d", got)
		}
	})
}

// Each client ID can name another host to fetch from. What one address makes
// this server fetch is counted before it is fetched, at whichever endpoint.
func TestFetchesPerAddress_H11(t *testing.T) {
	const attacker, elsewhere = "192.0.2.66", "192.0.2.7"
	invented := func(i int) string { return fmt.Sprintf("http://127.0.1.%d:1/c", i) }
	for name, ask := range map[string]func(ts *testServer, address, id string) int{
		"token": func(ts *testServer, address, id string) int {
			if _, err := ts.authenticate(address, nil, "client_id", id); err != nil {
				return oauth.AsError(err).Status
			}
			return http.StatusOK
		},
		"authorize": func(ts *testServer, address, id string) int {
			r := httptest.NewRequest(http.MethodGet, testIssuer+AuthorizePath+"?"+request("client_id", id, "redirect_uri", "http://localhost:1/callback").Encode(), nil)
			r.RemoteAddr = address
			return ts.serve(r).Code
		},
	} {
		t.Run(name, func(t *testing.T) {
			ts, h := newDocumentServer(t)
			ts.stopLimits()
			known := h.Publish("/c", goodDocument)
			if got := ask(ts, elsewhere, known); got >= http.StatusBadRequest {
				t.Fatalf("a good client: %d", got)
			}
			var limited atomic.Int32
			var wg sync.WaitGroup
			for i := range 3 * fetchesPerAddress {
				wg.Go(func() {
					if ask(ts, attacker, invented(i)) == http.StatusTooManyRequests {
						limited.Add(1)
					}
				})
			}
			wg.Wait()
			if n := limited.Load(); n != 2*fetchesPerAddress {
				t.Errorf("%d of %d limited", n, 3*fetchesPerAddress)
			}
			if got := ask(ts, attacker, known); got >= http.StatusBadRequest {
				t.Errorf("a known client at that address: %d", got)
			}
			if got := ask(ts, elsewhere, invented(250)); got == http.StatusTooManyRequests || got < http.StatusBadRequest {
				t.Errorf("from elsewhere: %d", got)
			}
		})
	}
}
