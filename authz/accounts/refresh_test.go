package accounts

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	alice = "user_id:alice"
	bob   = "user_id:bob"
)

func TestRefresh(t *testing.T) {
	t.Run("well before the end nobody asks", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion")
		v.clock.Advance(58 * time.Minute)
		v.wantCall(alice, "notion", token, nil)
		if n := len(v.provider.Refreshes()); n != 0 {
			t.Errorf("%d refreshes", n)
		}
	})
	t.Run("ahead of the end calls do not wait", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion")
		v.clock.Advance(59*time.Minute + 30*time.Second)
		v.wantCall(alice, "notion", token, nil)
		v.refreshed(alice, "notion")
		v.wantCall(alice, "notion", "at-2", nil)
		if n := len(v.provider.Refreshes()); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
	t.Run("at the end they do", func(t *testing.T) {
		for _, left := range []time.Duration{4 * time.Second, 0, -time.Hour} {
			v := newVault(t)
			v.connectAs(alice, "notion")
			v.clock.Advance(time.Hour - left)
			v.wantCall(alice, "notion", "at-2", nil)
		}
	})
	t.Run("a short life is used for four fifths", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion", func(c *storage.Connection, _ *secrets) { c.TokenExpiresAt = v.clock.Now().Add(20 * time.Second) })
		v.clock.Advance(15 * time.Second)
		v.wantCall(alice, "notion", token, nil)
		v.clock.Advance(time.Second)
		v.wantCall(alice, "notion", "at-2", nil)
	})
	t.Run("without a refresh token it ends", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion", withoutRefresh)
		v.clock.Advance(59*time.Minute + 59*time.Second)
		v.wantCall(alice, "notion", token, nil)
		v.clock.Advance(time.Second)
		v.wantCall(alice, "notion", "", ErrNeedsReauth)
		v.wantState(alice, "notion", storage.NeedsReauth)
	})
	t.Run("without an end and a refresh token it stays", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion", withoutRefresh, withoutExpiry)
		v.clock.Advance(1000 * time.Hour)
		v.wantCall(alice, "notion", token, nil)
	})
	t.Run("shared by everybody", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(storage.SharedOwner, "shared")
		v.clock.Advance(time.Hour)
		for _, owner := range []string{alice, bob} {
			c, err := v.Credential(t.Context(), owner, "shared")
			if err != nil || v.accountOf(c) != storage.SharedOwner+" shared" {
				t.Errorf("%s: %v, %v", owner, c, err)
			}
		}
	})
	t.Run("as the request says it", func(t *testing.T) { // CL-11
		v := newVault(t)
		v.connectAs(alice, "notion")
		v.clock.Advance(time.Hour)
		v.wantCall(alice, "notion", "at-2", nil)
		form := v.provider.Refreshes()[0]
		for name, want := range map[string]string{
			"grant_type": "refresh_token", "refresh_token": "rt-1", "client_id": "gateway",
			"resource": "https://notion.example/mcp",
		} {
			if got := form.Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if form.Has("scope") {
			t.Errorf("scope = %q, want none: RFC 6749 section 6", form["scope"])
		}
	})
}

// What a provider may leave out, or write in its own way.
func TestRefreshReplies_K17(t *testing.T) {
	tests := []struct {
		name    string
		members oauthtest.Object
		refresh string // the next refresh token
		scopes  string
		expires time.Duration
	}{
		{"all", oauthtest.Object{"expires_in": 60, "scope": "read"}, "rt-2", "read", time.Minute},
		{"no refresh token", oauthtest.Object{"refresh_token": nil, "expires_in": 60}, "rt-1", "read write", time.Minute},
		{"no expiry", oauthtest.Object{}, "rt-2", "read write", 0},
		{"expiry as text", oauthtest.Object{"expires_in": "60"}, "rt-2", "read write", time.Minute},
		{"scopes between commas", oauthtest.Object{"scope": "a,b"}, "rt-2", "a b", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVault(t)
			v.connectAs(alice, "notion")
			v.clock.Advance(time.Hour)
			v.provider.Change(func() { v.provider.Members = tt.members })
			v.wantCall(alice, "notion", "at-2", nil)
			c := v.record(alice, "notion")
			opened, err := v.openSecrets(c)
			if err != nil {
				t.Fatal(err)
			}
			if opened.RefreshToken != tt.refresh || strings.Join(c.Scopes, " ") != tt.scopes {
				t.Errorf("kept %q with scopes %q", opened.RefreshToken, c.Scopes)
			}
			want := time.Time{}
			if tt.expires > 0 {
				want = v.clock.Now().Add(tt.expires)
			}
			if !c.TokenExpiresAt.Equal(want) {
				t.Errorf("expires at %v", c.TokenExpiresAt)
			}
		})
	}
	t.Run("no expiry is an hour", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion", withoutExpiry)
		v.clock.Advance(time.Hour)
		v.wantCall(alice, "notion", token, nil) // it may still work
		v.refreshed(alice, "notion")
		v.wantCall(alice, "notion", "at-2", nil)
	})
	for name, members := range map[string]oauthtest.Object{"mac": {"token_type": "mac"}, "no token": {"access_token": nil}} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			v.connectAs(alice, "notion")
			v.clock.Advance(time.Hour)
			v.provider.Change(func() { v.provider.Members = members })
			v.wantCall(alice, "notion", "", ErrUnavailable)
			v.wantState(alice, "notion", storage.InDoubt)
		})
	}
}

func TestRefreshFails(t *testing.T) {
	tests := []struct {
		name     string
		faults   []oauthtest.Fault
		requests int
		state    storage.ConnectionState
		want     string
		err      error
	}{
		{"invalid_grant", []oauthtest.Fault{oauthtest.Refusal(400, "invalid_grant")}, 1, storage.NeedsReauth, "", ErrNeedsReauth},
		{"unauthorized_client", []oauthtest.Fault{oauthtest.Refusal(400, "unauthorized_client")}, 1, storage.NeedsReauth, "", ErrNeedsReauth},
		{"invalid_client", []oauthtest.Fault{oauthtest.Later(401, "invalid_client")}, 1, storage.Active, "", ErrUnavailable}, // the operator's
		{"401", []oauthtest.Fault{oauthtest.Refusal(401, "")}, 1, storage.NeedsReauth, "", ErrNeedsReauth},
		{"a code of its own", []oauthtest.Fault{oauthtest.Refusal(400, "token_is_sad")}, 1, storage.NeedsReauth, "", ErrNeedsReauth},
		{"refused with 200", []oauthtest.Fault{oauthtest.Refusal(200, "bad_refresh_token")}, 1, storage.NeedsReauth, "", ErrNeedsReauth},
		{"a firewall", []oauthtest.Fault{{NotProcessed: true, Answer: oauthtest.Answer(403, "text/html", "no")}}, 1, storage.Active, "", ErrUnavailable},
		{"temporarily_unavailable", []oauthtest.Fault{oauthtest.Later(400, "temporarily_unavailable")}, 1, storage.Active, "", ErrUnavailable},
		{"server_error", []oauthtest.Fault{oauthtest.Later(400, "server_error")}, 1, storage.Active, "", ErrUnavailable},
		{"slow_down", []oauthtest.Fault{oauthtest.Later(400, "slow_down")}, 1, storage.Active, "", ErrUnavailable},
		{"internal_error with 200", []oauthtest.Fault{oauthtest.Later(200, "internal_error")}, 1, storage.Active, "", ErrUnavailable},
		{"fatal_error with 200", []oauthtest.Fault{oauthtest.Later(200, "fatal_error")}, 1, storage.Active, "", ErrUnavailable},
		{"service_unavailable with 200", []oauthtest.Fault{oauthtest.Later(200, "service_unavailable")}, 1, storage.Active, "", ErrUnavailable},
		{"ratelimited with 200", []oauthtest.Fault{oauthtest.Later(200, "ratelimited")}, 1, storage.Active, "", ErrUnavailable},
		{"rate_limited", []oauthtest.Fault{oauthtest.Later(400, "rate_limited")}, 1, storage.Active, "", ErrUnavailable},
		{"400 of a proxy", []oauthtest.Fault{{NotProcessed: true, Answer: oauthtest.Answer(400, "text/html", "<h1>400 Bad Request</h1>")}}, 1, storage.Active, "", ErrUnavailable},
		{"400 in plain text", []oauthtest.Fault{{NotProcessed: true, Answer: oauthtest.Answer(400, "text/plain", "Bad Request")}}, 1, storage.Active, "", ErrUnavailable},
		{"400 without a body", []oauthtest.Fault{{NotProcessed: true, Answer: oauthtest.Answer(400, "application/json", "")}}, 1, storage.Active, "", ErrUnavailable},
		{"400 without a code", []oauthtest.Fault{oauthtest.Later(400, "")}, 1, storage.Active, "", ErrUnavailable},
		{"a code of its own in a form", []oauthtest.Fault{{Answer: oauthtest.Answer(400, "text/plain", "error=token_is_sad")}}, 1, storage.NeedsReauth, "", ErrNeedsReauth},
		{"an object as error", []oauthtest.Fault{{Answer: oauthtest.Answer(400, "application/json", `{"error":{"code":190}}`)}}, 1, storage.NeedsReauth, "", ErrNeedsReauth},
		{"401 in HTML", []oauthtest.Fault{{Answer: oauthtest.Answer(401, "text/html", "no")}}, 1, storage.NeedsReauth, "", ErrNeedsReauth},
		{"200 without anything", []oauthtest.Fault{{Answer: oauthtest.Answer(200, "application/json", "{}")}}, 1, storage.InDoubt, "", ErrUnavailable},
		{"200 with an object as error", []oauthtest.Fault{{Answer: oauthtest.Answer(200, "application/json", `{"error":{"code":190}}`)}}, 1, storage.InDoubt, "", ErrUnavailable},
		{"down, then up", []oauthtest.Fault{oauthtest.Down, oauthtest.Down}, 3, storage.Active, "at-2", nil},
		{"down", []oauthtest.Fault{oauthtest.Down, oauthtest.Down, oauthtest.Down}, 3, storage.Active, "", ErrUnavailable},
		{"K11 lost on the way there", []oauthtest.Fault{oauthtest.LostBefore}, 1, storage.InDoubt, "", ErrUnavailable},
		{"K11 lost on the way back", []oauthtest.Fault{oauthtest.LostAfter}, 1, storage.InDoubt, "", ErrUnavailable},
		{"K11 down, then lost", []oauthtest.Fault{oauthtest.Down, oauthtest.LostAfter}, 2, storage.InDoubt, "", ErrUnavailable},
		{"K18 garbage", []oauthtest.Fault{oauthtest.Garbage}, 1, storage.InDoubt, "", ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVault(t)
			v.connectAs(alice, "notion")
			v.clock.Advance(time.Hour)
			v.provider.Fail(tt.faults...)
			v.wantCall(alice, "notion", tt.want, tt.err)
			v.wantState(alice, "notion", tt.state)
			if n := len(v.provider.Refreshes()); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			if c := v.record(alice, "notion"); c.Lease != "" {
				t.Error("the lease was not given back")
			}
			if tt.want != "" {
				return
			}
			// A provider that recovered is asked again, but a spent token is not sent again.
			v.wantCall(alice, "notion", "", tt.err)
			if n := len(v.provider.Refreshes()); n != tt.requests {
				t.Errorf("asked again at once")
			}
			v.clock.Advance(retryPause)
			works := tt.faults[len(tt.faults)-1].Processed // the provider has replaced the token
			if tt.state != storage.NeedsReauth && !works {
				v.wantCall(alice, "notion", "at-2", nil)
				v.wantState(alice, "notion", storage.Active)
			} else {
				v.wantCall(alice, "notion", "", ErrNeedsReauth)
				v.instance().wantCall(alice, "notion", "", ErrNeedsReauth)
			}
			v.wantNoneReusedEarly()
			for _, entry := range v.logs.All() {
				for _, f := range entry.Context {
					if strings.Contains(f.String, oauthtest.Canary) || f.Interface != nil && strings.Contains(errorText(f.Interface), oauthtest.Canary) {
						t.Errorf("K19: the log has the provider's words: %v", entry)
					}
				}
			}
		})
	}
}

func errorText(v any) string {
	if err, ok := v.(error); ok {
		return err.Error()
	}
	return ""
}
