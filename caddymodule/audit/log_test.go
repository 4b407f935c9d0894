package audit

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// What anybody can cause has no more lines in the audit log than in the default log.
func TestFloodsAreNotAudited(t *testing.T) {
	for _, tt := range []struct {
		e    event.Event
		want bool
	}{
		{event.Event{Kind: event.SignInRefused}, true},
		{event.Event{Kind: event.SignInRefused, Repeats: true}, false},
		{event.Event{Kind: event.GuessingSuspected, Repeats: true}, false},
		{event.Event{Kind: event.GateRefused}, false},
		{event.Event{Kind: event.GateRefused, Person: "oidc:alice"}, true},
		{event.Event{Kind: event.GateRefused, Person: "oidc:alice", Repeats: true}, false},
		{event.Event{Kind: event.SignInSucceeded, Repeats: true}, true},
		{event.Event{Kind: event.ClientRegistered}, false},
	} {
		if got := audited(&tt.e); got != tt.want {
			t.Errorf("%s of %q, repeats %t: audited %t, want %t", tt.e.Kind, tt.e.Person, tt.e.Repeats, got, tt.want)
		}
	}
}
