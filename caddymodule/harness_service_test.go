package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// service is an MCP server that people have accounts on, and its provider.
type service struct {
	*oauthtest.MCPServer
	provider *oauthtest.Provider
}

func newService(t *testing.T) *service {
	t.Helper()
	p := oauthtest.NewProvider(t)
	p.TokenName = func(n int, account string) string { return fmt.Sprintf("%d-%s", n, account) }
	p.Page(oauthtest.ProviderMetadataPath, oauthtest.Document(oauthtest.With(p.Metadata(), "authorization_response_iss_parameter_supported", true)))
	return &service{oauthtest.NewMCPServer(t, p), p}
}

// server is the line that puts the service behind the site.
func (s *service) server(options ...string) string {
	return "insecure_allow_loopback\nserver notion /mcp " + s.URL + "/mcp {\ntitle Notion\nauth per_user_oauth {\n" + strings.Join(options, "\n") + "\n}\n}\n"
}

// noRefreshTokens has the provider give out access tokens alone.
func (s *service) noRefreshTokens() {
	s.provider.Members = oauthtest.Object{"expires_in": 3600, "refresh_token": nil}
}

// refuse has the server take no token any more, and the provider give out none.
func (s *service) refuse() {
	refusal := oauthtest.Refusal(http.StatusBadRequest, "invalid_grant")
	s.provider.SetOutage(&refusal)
	s.provider.ExpireAll()
}
