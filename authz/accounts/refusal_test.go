package accounts

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Each way in which a code is not redeemed is told as what it is: what can never
// work is no provider that does not answer, and the log says what may help.
func TestExchangeProblems(t *testing.T) {
	json := func(status int, body string) http.HandlerFunc {
		return oauthtest.Answer(status, "application/json", body)
	}
	configured := func(_ *config.Site, s *config.Server) { s.Auth.ClientID, s.Auth.ClientSecret = "ours", "hush" }
	for name, tt := range map[string]struct {
		page   http.HandlerFunc
		change func(*config.Site, *config.Server)
		want   client.Problem
		hint   string
	}{
		"token_type user":                {json(200, `{"ok":true,"access_token":"x","token_type":"user"}`), nil, client.Unsupported, "user_token"},
		"token_type DPoP":                {json(200, `{"access_token":"x","token_type":"DPoP"}`), nil, client.Unsupported, "bearer"},
		"token_type mac":                 {json(200, `{"access_token":"x","token_type":"mac"}`), nil, client.Unsupported, "bearer"},
		"N_A":                            {json(200, `{"access_token":"x","token_type":"N_A"}`), nil, client.Unsupported, "bearer"},
		"one of a person":                {json(200, `{"ok":true,"authed_user":{"access_token":"x"}}`), nil, client.Unsupported, "user_token"},
		"a token with spaces":            {json(200, `{"access_token":"a b","token_type":"bearer"}`), nil, client.Unsupported, "bearer"},
		"a token that is an object":      {json(200, `{"access_token":{},"token_type":"bearer"}`), nil, client.Unsupported, "bearer"},
		"nonsense":                       {oauthtest.Answer(200, "text/html", "<html>"), nil, client.ProviderDown, ""},
		"hangs up":                       {oauthtest.HangUp, nil, client.ProviderDown, ""},
		"cannot":                         {json(503, ""), nil, client.ProviderDown, ""},
		"too many":                       {json(429, ""), nil, client.ProviderDown, ""},
		"not implemented":                {json(501, ""), nil, client.Unsupported, "token_endpoint"},
		"temporarily_unavailable":        {json(400, `{"error":"temporarily_unavailable"}`), nil, client.ProviderDown, ""},
		"ratelimited with 200":           {json(200, `{"ok":false,"error":"ratelimited"}`), nil, client.ProviderDown, ""},
		"times out with 408":             {json(408, ""), nil, client.ProviderDown, ""},
		"not found":                      {json(404, ""), nil, client.Unsupported, "token_endpoint"},
		"no POST":                        {json(405, ""), nil, client.Unsupported, "token_endpoint"},
		"a redirect":                     {oauthtest.Redirect("https://elsewhere.example"), nil, client.Unsupported, "token_endpoint"},
		"invalid_grant":                  {json(400, `{"error":"invalid_grant"}`), nil, client.ProviderRefused, ""},
		"invalid_scope":                  {json(400, `{"error":"invalid_scope"}`), nil, client.Unsupported, "scopes"},
		"invalid_target":                 {json(400, `{"error":"invalid_target"}`), nil, client.Unsupported, "no_resource"},
		"unsupported_grant_type":         {json(400, `{"error":"unsupported_grant_type"}`), nil, client.Unsupported, "authorization code flow"},
		"registered, invalid_client":     {json(401, `{"error":"invalid_client"}`), nil, client.ProviderRefused, "registration"},
		"configured, invalid_client":     {json(401, `{"error":"invalid_client"}`), configured, client.NotRegistered, "client_secret"},
		"configured, 401 and no more":    {json(401, ""), configured, client.NotRegistered, "client_secret"},
		"configured, not allowed":        {json(400, `{"error":"unauthorized_client"}`), configured, client.NotRegistered, "client_id"},
		"refused without a word":         {json(400, ""), nil, client.ProviderRefused, ""},
		"refused with a word of its own": {json(403, `{"error":"nope"}`), nil, client.ProviderRefused, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var changes []func(*config.Site, *config.Server)
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			g := newGateway(t, changes...)
			a := g.answerTo(g.start(g.request()))
			g.provider.Page("/token", tt.page)
			_, err := g.Finish(t.Context(), a)
			wantProblem(t, err, tt.want)
			if err != nil && !strings.Contains(err.Error(), tt.hint) {
				t.Errorf("the log says %q, want %q in it", err, tt.hint)
			}
			if tt.want != client.ProviderDown != tt.want.NeedsOperator() {
				t.Errorf("%s is logged for operators: %t", tt.want, tt.want.NeedsOperator())
			}
		})
	}
}
