//go:build unix

package caddymodule

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// caFile returns the name of a file with a certificate authority.
func caFile(t *testing.T, ca *pgtest.Authority) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(name, ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func newAuthority(t *testing.T) *pgtest.Authority {
	t.Helper()
	ca, err := pgtest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// serveAs is a server with a certificate of the authority.
func serveAs(t *testing.T, ca *pgtest.Authority, h http.Handler) *httptest.Server {
	t.Helper()
	certificate, key, err := ca.Issue("kube-apiserver", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// The issuer of a Kubernetes cluster has a certificate of the cluster's own authority.
// With that as ca its service accounts get in; with another, or with those of this
// machine, its keys are not even asked for.
func TestWorkloadOfClusterWithItsOwnCA_C25(t *testing.T) {
	ca := newAuthority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Use: "sig", Algorithm: "ES256"}}})
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	var cluster *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, cluster.URL, cluster.URL+"/openid/v1/jwks")
	})
	mux.HandleFunc("/openid/v1/jwks", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(set)
	})
	cluster = serveAs(t, ca, mux)

	upstream := oauthtest.Serve(t, nil)
	lines := func(option string) string {
		return "identity workload cluster " + cluster.URL + " {\n" + option + "\nallow claim:sub=system:serviceaccount:prod:batch\n}\nserver a /mcp " + upstream.URL + "\n"
	}
	g := newGateway(t, lines("ca {file."+caFile(t, ca)+"}"))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		t.Fatal(err)
	}
	exchange := func(account string) *http.Response {
		t.Helper()
		now := time.Now()
		claims, err := json.Marshal(map[string]any{
			"iss": cluster.URL, "sub": "system:serviceaccount:prod:" + account, "aud": []string{g.url},
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
			"kubernetes.io": map[string]any{"namespace": "prod", "serviceaccount": map[string]string{"name": account}},
		})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		form := url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "resource": {g.url + "/mcp"},
		}
		return g.call("POST", "/api/oauth/per-user/token", form.Encode(), "Authorization", "", "Content-Type", "application/x-www-form-urlencoded")
	}
	token := accessToken(t, status(t, exchange("batch"), http.StatusOK))
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusOK)
	if got := exchange("other").StatusCode; got == http.StatusOK {
		t.Error("another service account of the cluster gets a token")
	}
	if got := asked.Load(); got != 1 {
		t.Errorf("the cluster was asked %d times where its keys are, want once", got)
	}
	for name, option := range map[string]string{"another authority": "ca {file." + caFile(t, newAuthority(t)) + "}", "those of this machine": ""} {
		g.load(g.caddyfile(lines(option)))
		if got := exchange("batch").StatusCode; got == http.StatusOK {
			t.Errorf("with %s a token is given", name)
		}
		if got := asked.Load(); got != 1 {
			t.Errorf("with %s the cluster was asked, %d times by now", name, got)
		}
	}
}
