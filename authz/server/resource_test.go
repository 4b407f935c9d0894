package server

import (
	"slices"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

func TestResolveResources_F01_F05(t *testing.T) {
	as := newTestServer(t, func(c *siteConfig) {
		c.Servers = append(slices.Clone(c.Servers), &config.Server{ID: "root", Path: "/", Resource: testIssuer})
	}).as
	tests := []struct {
		name     string
		in, want []string
		ok       bool
	}{
		{"none", nil, nil, true},
		{"empty", []string{""}, nil, true},
		{"one twice", []string{mainResource, mainResource + "/"}, []string{mainResource}, true},
		{"two", []string{mainResource, notionResource}, []string{mainResource, notionResource}, true},
		{"root", []string{testIssuer + "/"}, []string{testIssuer}, true},
		{"one is unknown", []string{mainResource, mainResource + "2"}, nil, false},
		{"below one", []string{mainResource + "/x"}, nil, false},
		{"other host", []string{"https://mcp.example.com.evil.example/mcp"}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := as.Policy.Resolve(tt.in)
			if (err == nil) != tt.ok || !slices.Equal(got, tt.want) {
				t.Errorf("resources = %q, %v", got, err)
			}
			if err != nil && oauth.AsError(err).Code != "invalid_target" {
				t.Errorf("code = %s", oauth.AsError(err).Code)
			}
		})
	}
}
