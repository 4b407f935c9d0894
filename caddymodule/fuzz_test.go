package caddymodule

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/neighbours"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// issuerOf returns the issuer of a site with the public URL.
func issuerOf(publicURL string) (string, error) {
	site, err := (&config.Site{
		PublicURL: publicURL, Identities: []config.Identity{{Kind: "anonymous"}}, Servers: []*config.Server{{ID: "a", Path: "/mcp", Upstream: "http://127.0.0.1:1/mcp"}},
	}).Resolve(config.KeepPlaceholders)
	if err != nil {
		return "", err
	}
	return site.Issuer, nil
}

// N07: what is accepted as a public URL has one form, and is https or loopback.
func FuzzPublicURL(f *testing.F) {
	for _, s := range []string{"https://mcp.example.com", "HTTPS://MCP.Example.com:443/", "http://[::1]:80", "http://localhost", "https://a@b", "https://x?y", "https://:", "https://:443"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		issuer, err := issuerOf(text)
		if err != nil || issuer == "" { // a placeholder
			return
		}
		if again, err := issuerOf(issuer); err != nil || again != issuer {
			t.Fatalf("%q becomes %q, then %q, %v", text, issuer, again, err)
		}
		if !strings.HasPrefix(issuer, "https://") && !config.IsLoopbackURL(issuer) {
			t.Fatalf("%q is accepted as %q", text, issuer)
		}
		if h := neighbours.NewHost(&config.Site{Issuer: issuer}); !h.Serves(strings.TrimPrefix(strings.TrimPrefix(issuer, "https://"), "http://")) {
			t.Fatalf("%q does not serve its own host", issuer)
		}
	})
}
