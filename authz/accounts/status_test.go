package accounts

import (
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (v *vaultInstance) status(owner string) []Status {
	v.t.Helper()
	all, err := v.Status(v.t.Context(), owner)
	if err != nil {
		v.t.Fatal(err)
	}
	return all
}

func TestStatus(t *testing.T) {
	v := newVault(t)
	v.connectAs(storage.SharedOwner, "shared")
	v.connectAs(alice, "github")
	v.connectAs(bob, "notion")
	c := v.record(alice, "github")
	got := v.status(alice)
	if len(got) != 3 || got[0].Server != "notion" || got[1].Server != "github" || got[2].Server != "keyed" {
		t.Fatalf("%+v", got)
	}
	if s := got[1]; s.State != storage.Active || s.ID != c.ID || !s.Since.Equal(c.CreatedAt) || !s.ExpiresAt.Equal(c.TokenExpiresAt) || len(s.Scopes) != 2 {
		t.Errorf("%+v", s)
	}
	for _, s := range []Status{got[0], got[2]} {
		if s.State != "" || s.ID != "" {
			t.Errorf("%+v", s)
		}
	}
	if got := v.status(storage.SharedOwner); len(got) != 1 || got[0].Server != "shared" || got[0].State != storage.Active {
		t.Errorf("%+v", got)
	}
}

// Pages say what the next call would find.
func TestStatusTellsTheNextCall(t *testing.T) {
	tests := map[string]struct {
		prepare func(v *vaultInstance)
		want    storage.ConnectionState
	}{
		"ends soon, and can be refreshed": {func(v *vaultInstance) { v.connectAs(alice, "notion"); v.clock.Advance(time.Hour) }, storage.Active},
		"ended":                           {func(v *vaultInstance) { v.connectAs(alice, "notion", withoutRefresh); v.clock.Advance(time.Hour) }, storage.NeedsReauth},
		"refused": {func(v *vaultInstance) {
			v.connectAs(alice, "notion")
			v.clock.Advance(time.Hour)
			v.provider.Fail(oauthtest.Refusal(400, "invalid_grant"))
			v.wantCall(alice, "notion", "", ErrNeedsReauth)
		}, storage.NeedsReauth},
		"in doubt": {func(v *vaultInstance) {
			v.connectAs(alice, "notion")
			v.clock.Advance(time.Hour)
			v.provider.Fail(oauthtest.LostAfter)
			v.wantCall(alice, "notion", "", ErrUnavailable)
		}, storage.InDoubt},
		"damaged": {func(v *vaultInstance) {
			v.connectAs(alice, "notion")
			c := v.record(alice, "notion")
			c.Secret = nil
			v.tamper(c)
		}, storage.NeedsReauth},
		"of another kind than configured": {func(v *vaultInstance) {
			v.connectAs(alice, "notion")
			v.servers["notion"].Auth.Mode, v.servers["notion"].Auth.Headers = config.PerUserHeaders, []config.AuthHeader{{Name: "X-Key"}}
		}, storage.NeedsReauth},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			tt.prepare(v)
			if got := v.status(alice)[0].State; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
