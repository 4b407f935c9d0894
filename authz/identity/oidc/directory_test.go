package oidc

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
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
	if n := s.log.FilterMessageSnippet("a provider does not answer").Len(); n != 1 {
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
	if s.log.FilterMessageSnippet("a provider answers again").Len() != 1 {
		t.Errorf("log: %v", s.log.All())
	}
	if prompt := s.method.Prompt(nil, true); !strings.HasPrefix(prompt.Button, "Continue with 127.0.0.1") {
		t.Errorf("the page says %+v", prompt)
	}
}

// A provider that moves its keys is believed by those at the new address alone.
func TestKeysMove_J11(t *testing.T) {
	s := newRP(t, nil)
	s.mustLogin()
	s.idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.Document(oauthtest.With(s.idp.Metadata(), "jwks_uri", s.idp.URL+"/moved")))
	s.idp.Page("/moved", oauthtest.Document(oauthtest.Object{"keys": []any{}}))
	s.clock.Advance(metadataFresh + time.Second)
	_, err := s.login()
	s.unavailable(err, "no usable key")
	if n := len(s.idp.Requests("/moved")); n == 0 {
		t.Error("nobody looked at the new address")
	}
}

// What one site may reach is not found by another that may not.
func TestDirectoryIsForEachReach(t *testing.T) {
	d, now := NewDirectory(), time.Now
	anywhere, loopback := egress.New(egress.Options{Anywhere: true}), egress.New(egress.Options{Loopback: true})
	open := d.source("https://login.example.com", &client.Client{Guarded: anywhere, Operator: anywhere, Now: now})
	for name, c := range map[string]*client.Client{
		"guarded": {Guarded: loopback, Operator: anywhere, Now: now}, "operator": {Guarded: anywhere, Operator: loopback, Now: now},
	} {
		if d.source("https://login.example.com", c) == open {
			t.Errorf("%s: a site that reaches less shares what one found that reaches more", name)
		}
	}
	if d.source("https://login.example.com", &client.Client{Guarded: anywhere, Operator: anywhere, Now: now}) != open {
		t.Error("two sites that reach the same do not share")
	}
}
