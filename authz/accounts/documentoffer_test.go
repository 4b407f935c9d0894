package accounts

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A provider is shown our metadata document only where it can be expected to
// fetch it, or where the operator says so; else this site registers there.
func TestDocumentIsOffered_CL8(t *testing.T) {
	on, off := true, false
	const internet, network, machine = "https://as.example.com", "https://10.0.0.5", "http://127.0.0.1:9"
	for name, tt := range map[string]struct {
		site, provider string
		says           *bool
		want           bool
	}{
		"public site":                         {testIssuer, internet, nil, true},
		"public site, own provider":           {testIssuer, network, nil, true},
		"localhost":                           {"https://localhost", internet, nil, false},
		"localhost, provider on the network":  {"https://localhost", network, nil, false},
		"localhost, provider on this machine": {"https://localhost:8443", machine, nil, true},
		"loopback address":                    {"https://[::1]:8443", internet, nil, false},
		".internal":                           {"https://mcp.internal", internet, nil, false},
		".internal, own provider":             {"https://mcp.internal", network, nil, true},
		".local":                              {"https://mcp.local", internet, nil, false},
		".lan":                                {"https://mcp.lan", internet, nil, false},
		".home.arpa":                          {"https://mcp.home.arpa", internet, nil, false},
		"a single word":                       {"https://mcp", internet, nil, false},
		"a private address":                   {"https://192.168.1.9", internet, nil, false},
		"the operator says on":                {"https://mcp.internal", internet, &on, true},
		"the operator says off":               {testIssuer, internet, &off, false},
		"http, whatever the operator says":    {"http://127.0.0.1:8080", machine, &on, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, func(cfg *config.Site, s *config.Server) {
				cfg.Issuer, s.Auth.Quirks.MetadataDocument = tt.site, tt.says
			})
			s := g.servers["notion"]
			p := &client.Provider{ServerMetadata: oauth.ServerMetadata{Issuer: tt.provider, ClientDocuments: true, RegistrationEndpoint: g.provider.URL + "/register"}}
			c, err := g.clientFor(t.Context(), s, p, testOwner)
			if err != nil {
				t.Fatal(err)
			}
			want := "dynamic-1"
			if tt.want {
				want = g.profile(s).DocumentID
			}
			if c.ID != want {
				t.Errorf("client %q, want %q", c.ID, want)
			}
			p.RegistrationEndpoint = ""
			_, err = g.clientFor(t.Context(), s, p, testOwner)
			if tt.want {
				return
			}
			if wantProblem(t, err, client.NotRegistered); err != nil && !strings.Contains(err.Error(), "metadata_document on") {
				t.Errorf("the log does not say what to do: %v", err)
			}
		})
	}
}

// A provider that could not fetch our document for a moment says invalid_client.
// That ends no connection; one that says so for an hour means it.
func TestDocumentIsRefusedForNow(t *testing.T) {
	for name, id := range map[string]func(*vaultInstance, *config.Server) string{
		"without a key": func(v *vaultInstance, s *config.Server) string { return v.profile(s).DocumentID },
		"with a key":    func(v *vaultInstance, s *config.Server) string { return v.profile(s).DocumentID + "/key" },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			s := v.servers["notion"]
			s.Auth.ClientID = ""
			v.connectAs(alice, "notion", func(_ *storage.Connection, opened *secrets) { opened.Binding.ClientID = id(v, s) })
			v.clock.Advance(time.Hour)
			f := oauthtest.Fault{NotProcessed: true, Answer: oauthtest.Refusal(http.StatusUnauthorized, "invalid_client").Answer}
			v.provider.SetOutage(&f)
			v.wantCall(alice, "notion", "", ErrUnavailable)
			v.wantState(alice, "notion", storage.Active)
			v.clock.Advance(refusedPatience / 2)
			v.wantCall(alice, "notion", "", ErrUnavailable)
			v.provider.SetOutage(nil)
			v.clock.Advance(retryPause)
			v.wantCall(alice, "notion", "at-2", nil)

			v.provider.SetOutage(&f)
			v.clock.Advance(time.Hour)
			v.wantCall(alice, "notion", "", ErrUnavailable)
			v.clock.Advance(refusedPatience)
			v.wantCall(alice, "notion", "", ErrNeedsReauth)
		})
	}
}
