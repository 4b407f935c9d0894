//go:build integration

package integration_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// What the admin API says of itself is an OpenAPI document, as a validator judges
// that is not ours.
func TestOpenAPI(t *testing.T) {
	g := harness.Run(t, harness.Config{Directives: identities + "server recorder /mcp " + harness.Record(t).URL, Env: keys})
	file := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(file, []byte(g.AdminJSON(t, "GET", "openapi.json", "", 200, nil)), 0o600); err != nil {
		t.Fatal(err)
	}
	programs.RunToEnd(t, programs.Node(t, "openapi.mjs", file))
}
