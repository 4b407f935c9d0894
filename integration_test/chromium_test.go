//go:build integration

package integration_test

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// A real browser walks the pages; see js/chromium.test.mjs. With -artifacts
// the screenshots are kept, to be looked at.
func TestChromium(t *testing.T) {
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + "server recorder /mcp " + upstream.URL + ` {
			title Recorder
		}`,
		Env: keys,
	})
	walk := programs.Node(t, "chromium.test.mjs")
	walk.Env = append(walk.Env,
		"MCP_URL="+g.URL+"/mcp", "VIRTUAL_KEY="+aliceKey, "CHROMIUM="+chromium(t), "SCREENSHOTS="+t.ArtifactDir())
	t.Log(programs.RunToEnd(t, walk))
}
