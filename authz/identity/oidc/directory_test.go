package oidc

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// What a provider says about itself is used only if it is the one of the
// configuration.
func TestMetadata_J05_J11(t *testing.T) {
	for name, tt := range map[string]struct {
		member string
		value  any
		why    string
	}{
		"another issuer":  {"issuer", "https://login.example.com/", "write `identity oidc https://login.example.com/`"},
		"template":        {"issuer", "https://login.microsoftonline.com/{tenantid}/v2.0", "another issuer"},
		"http":            {"token_endpoint", "http://login.example.com/token", "token_endpoint http://login.example.com/token: egress: URL not allowed"},
		"private network": {"jwks_uri", "https://10.0.0.1/jwks", "jwks_uri"},
		"script":          {"authorization_endpoint", "javascript:alert(1)", "authorization_endpoint"},
		"no keys":         {"jwks_uri", nil, "jwks_uri"},
		"userinfo":        {"userinfo_endpoint", "ftp://x/", "userinfo_endpoint"},
		"end of session":  {"end_session_endpoint", "data:text/html,x", "end_session_endpoint"},
		"symmetric":       {"id_token_signing_alg_values_supported", []string{"HS256", "none"}, "choose one of these"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRP(t, nil)
			s.idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.Document(oauthtest.With(s.idp.Metadata(), tt.member, tt.value)))
			_, err := s.method.Start(t.Context(), identity.Login{State: "state", CallbackURL: callbackURL})
			s.unavailable(err, tt.why)
			if prompt := s.method.Prompt(nil, true); !strings.Contains(prompt.Hint, "does not answer") || !strings.HasPrefix(prompt.Button, "Try ") {
				t.Errorf("the page says %+v", prompt)
			}
		})
	}
}

// The page tells whether people can sign in, and the log that they cannot, seldom.
func TestWatch(t *testing.T) {
	s := newRP(t, nil)
	good := s.idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.HangUp)
	done := make(chan struct{})
	go func() { s.Watch(t.Context()); close(done) }()
	oauthtest.Eventually(t, "it is not tried again", func() bool { s.clock.Advance(time.Second); return s.idp.Hits() > 1 })
	if n := s.log.FilterMessageSnippet("nobody can sign in").Len(); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
	s.idp.Page(oauthtest.OpenIDConfigurationPath, good)
	oauthtest.Eventually(t, "it is not found", func() bool {
		s.clock.Advance(time.Second)
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	if s.log.FilterMessageSnippet("can sign in at the identity provider now").Len() != 1 {
		t.Errorf("log: %v", s.log.All())
	}
	if prompt := s.method.Prompt(nil, true); !strings.HasPrefix(prompt.Button, "Continue with 127.0.0.1") {
		t.Errorf("the page says %+v", prompt)
	}
}
