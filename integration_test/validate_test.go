package integration_test

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// An operator checks a configuration beside the running server, which has the
// database open (M11). A second server on the same database says what is wrong.
func TestValidateBesideRunningServer_M11(t *testing.T) {
	g := harness.Run(t, harness.Config{
		Directives: identities + "server ticker /mcp " + harness.Tick(t).URL,
		Env:        keys,
	})
	if printed := programs.RunToEnd(t, g.Command("validate", "--config", g.Caddyfile)); !strings.Contains(printed, "Valid configuration") {
		t.Errorf("validate printed:\n%s", printed)
	}
	g.SignIn(t, alice, "/mcp")

	second := programs.Start(t, g.Twin(t))
	if err := second.Wait(t); err == nil {
		t.Error("a second server on the same database started")
	}
	if !strings.Contains(second.String(), "another process") {
		t.Errorf("the second server does not say why it cannot start:\n%s", second)
	}
	g.SignIn(t, alice, "/mcp")
}
