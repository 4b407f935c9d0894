package gate

import (
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
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

// M09: a client may come back with the token that was refused for a while after
// another process told, whatever that one's clock shows.
func TestStepUpToldByAnotherClock_M09(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	c := &tokens.Caller{GrantID: "g", TokenHash: storage.HashOf("at")}
	for _, ahead := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		h := NewStepUps(9)
		h.Told(SteppedUp{"g", "notes", c.TokenHash, now.Add(ahead)}, now)
		if !h.shouldChallenge(c, "notes", now.Add(stepUpPatience-time.Second)) || h.shouldChallenge(c, "notes", now.Add(stepUpPatience)) {
			t.Errorf("told by a clock %v ahead: not asked for %v", ahead, stepUpPatience)
		}
	}
}
