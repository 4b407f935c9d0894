package server

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// refusedAs checks that a request was refused, and with which error code.
func refusedAs(t testing.TB, err error, code string) {
	t.Helper()
	if err == nil || oauth.AsError(err).Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// refusedBecause checks that a request was refused, with which error code, and
// why, which the log has and no answer.
func refusedBecause(t testing.TB, err error, code, why string) {
	t.Helper()
	if refusedAs(t, err, code); err != nil && !strings.Contains(err.Error(), why) {
		t.Errorf("got %v, want it to say %q", err, why)
	}
}
