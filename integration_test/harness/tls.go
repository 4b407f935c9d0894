package harness

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Root is the path of the certificate of Caddy's own authority, which signs for
// a gateway with TLS.
func (g *Gateway) Root() string {
	return filepath.Join(g.Dir, "caddy", "pki", "authorities", "local", "root.crt")
}

// awaitCertificate makes HTTP trust the gateway, and waits until it has its
// certificate, which it gets while it already serves.
func (g *Gateway) awaitCertificate(t testing.TB, site string) {
	t.Helper()
	root, err := os.ReadFile(g.Root())
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(root)
	config := &tls.Config{RootCAs: trusted}
	g.HTTP = &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	oauthtest.Eventually(t, "the gateway has no certificate", func() bool {
		conn, err := tls.Dial("tcp", site, config)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// NewBrowser returns a browser that nobody has used, and that trusts the
// gateway.
func (g *Gateway) NewBrowser(t testing.TB) *Browser {
	b := NewBrowser(t)
	b.Client.Transport = g.HTTP.Transport
	return b
}
