package gate

import (
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
)

// What is remembered is bounded, and of each server.
func TestStepUps(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	a := NewStepUps(2)
	ask := func(grant, server string) bool { return a.shouldChallenge(&tokens.Caller{GrantID: grant}, server, now) }
	for _, server := range []string{"a", "b"} {
		if !ask("grant-1", server) {
			t.Errorf("the first call to %s", server)
		}
	}
	now = now.Add(time.Hour)
	if ask("grant-1", "b") || !ask("grant-2", "a") || !ask("grant-1", "a") {
		t.Error("the grant that was quiet for longest is not the one that was forgotten")
	}
}
