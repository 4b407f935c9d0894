package accounts

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Providers differ in which optional parameters they take at a refresh. One
// that refuses the request for them has used nothing up, and is asked again
// without or with them; the next refresh begins with what worked.
func TestRefreshParams(t *testing.T) {
	refusing := func(code string, refuses func(url.Values) bool) func(*http.Request) http.HandlerFunc {
		return func(r *http.Request) http.HandlerFunc {
			if refuses(r.PostForm) {
				return oauthtest.Refusal(http.StatusBadRequest, code).Answer
			}
			return nil
		}
	}
	has := func(name string) func(url.Values) bool { return func(f url.Values) bool { return f.Has(name) } }
	lacks := func(name string) func(url.Values) bool { return func(f url.Values) bool { return !f.Has(name) } }
	for name, tt := range map[string]struct {
		judge func(*http.Request) http.HandlerFunc
		first int // requests of the first refresh, want
		state storage.ConnectionState
	}{
		"scope is refused as invalid_request":     {refusing("invalid_request", has("scope")), 1, storage.Active},
		"scope is refused as invalid_scope":       {refusing("invalid_scope", has("scope")), 1, storage.Active},
		"scope is missed as invalid_request":      {refusing("invalid_request", lacks("scope")), 2, storage.Active},
		"scope is missed as invalid_scope":        {refusing("invalid_scope", lacks("scope")), 2, storage.Active},
		"resource is refused as invalid_target":   {refusing("invalid_target", has("resource")), 2, storage.Active},
		"resource is refused as invalid_request":  {refusing("invalid_request", has("resource")), 3, storage.Active},
		"everything is refused as invalid_scope":  {refusing("invalid_scope", has("grant_type")), 2, storage.NeedsReauth},
		"everything is refused":                   {refusing("invalid_request", has("grant_type")), 3, storage.NeedsReauth},
		"the token is refused":                    {refusing("invalid_grant", has("grant_type")), 1, storage.NeedsReauth},
		"the token is refused for another reason": {refusing("unauthorized_client", has("grant_type")), 1, storage.NeedsReauth},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			v.connectAs(alice, "notion")
			v.provider.Judge = tt.judge
			v.clock.Advance(time.Hour)
			_, err := v.call(alice, "notion")
			v.wantState(alice, "notion", tt.state)
			if n := len(v.provider.Refreshes()); n != tt.first {
				t.Errorf("%d requests, want %d", n, tt.first)
			}
			v.wantNoneReusedEarly()
			if tt.state != storage.Active {
				return
			}
			if err != nil {
				t.Error(err)
			}
			v.clock.Advance(time.Hour)
			v.wantCall(alice, "notion", "at-3", nil)
			if n := len(v.provider.Refreshes()); n != tt.first+1 {
				t.Errorf("%d requests for the second refresh, want 1", n-tt.first)
			}
		})
	}
}

// A provider that begins to refuse what it took before is found out again.
func TestRefreshParamsChange(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion", func(_ *storage.Connection, s *secrets) { s.RefreshParams.Scope = true })
	v.provider.Judge = func(r *http.Request) http.HandlerFunc {
		if r.PostForm.Has("scope") {
			return oauthtest.Refusal(http.StatusBadRequest, "invalid_request").Answer
		}
		return nil
	}
	v.clock.Advance(time.Hour)
	v.wantCall(alice, "notion", "at-2", nil)
	if forms := v.provider.Refreshes(); len(forms) != 2 || forms[0].Get("scope") != "read write" {
		t.Errorf("requests %v, want one with the scopes and one without", forms)
	}
}
