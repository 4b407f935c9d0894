//go:build integration

package integration_test

import (
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

const conformance = "node_modules/@modelcontextprotocol/conformance/dist/index.js"

// allowAll are access rules that let everybody use everything: with them, requests and
// answers are read, and nothing is taken out of them.
const allowAll = " {\n\ttools {\n\t\tallow *\n\t}\n\tresources {\n\t\tallow *\n\t}\n\tprompts {\n\t\tallow *\n\t}\n}\n"

// The official suite judges the Go SDK's own server, and then the same server
// through the gateway, without access rules and with some. Scenario by scenario, the
// numbers must be the same: a gateway that changes one has changed the protocol.
func TestConformanceServer(t *testing.T) {
	stateful, stateless := harness.Everything(t, true), harness.Everything(t, false)
	g := harness.Run(t, harness.Config{
		Directives: identities + "server stateful /stateful " + stateful + "\nserver stateless /stateless " + stateless +
			"\nserver ruled /ruled/stateful " + stateful + allowAll + "server ruled-stateless /ruled/stateless " + stateless + allowAll,
		Env: keys,
	})
	for revision, server := range map[string]struct{ bare, path string }{
		"2025-11-25": {stateful, "/stateful"},
		"2026-07-28": {stateless, "/stateless"},
	} {
		t.Run(revision, func(t *testing.T) {
			bare := judge(t, server.bare, revision)
			for _, path := range []string{server.path, "/ruled" + server.path} {
				gated := judge(t, g.URL+path, revision,
					"NODE_OPTIONS=--import="+programs.Script(t, "with-token.mjs"),
					"GATEWAY="+g.URL, "TOKEN="+g.SignIn(t, alice, path).AccessToken)
				for scenario, result := range bare {
					if gated[scenario] != result {
						t.Errorf("%s: %s bare, %s at %s", scenario, result, gated[scenario], path)
					}
				}
				if len(gated) != len(bare) {
					t.Errorf("%d results bare, %d at %s", len(bare), len(gated), path)
				}
				t.Logf("bare: %s; at %s: %s", bare["Total"], path, gated["Total"])
			}
		})
	}
}

// The suite's judgement of an authorization server: metadata and a code grant.
func TestConformanceAuthorization(t *testing.T) {
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + "server recorder /mcp " + upstream.URL,
		Env:        keys,
	})
	_, port, err := net.SplitHostPort(programs.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	client := g.Register(t, "http://127.0.0.1:"+port+"/callback")
	suite := programs.Start(t, programs.Node(t, conformance, "authorization",
		"--url", g.URL, "--client-id", client.ID, "--resource", g.URL+"/mcp", "-p", port))
	harness.NewBrowser(t).SignInFor(t, suite, alice)
	err = suite.Wait(t)
	results := summary(suite.String())
	if err != nil || len(results) < 2 || !strings.HasSuffix(results["Total"], " 0 failed") {
		t.Errorf("%v; printed:\n%s", err, suite)
	}
	t.Logf("%s", results["Total"])
}

// judge runs the suite for one revision and returns its result by scenario.
func judge(t *testing.T, address, revision string, env ...string) map[string]string {
	t.Helper()
	suite := programs.Node(t, conformance, "server", "--url", address, "--requirements", revision)
	suite.Env = append(suite.Env, env...)
	printed := programs.RunToEnd(t, suite)
	results := summary(printed)
	if len(results) < 20 {
		t.Fatalf("a judgement of %d scenarios; printed:\n%s", len(results), printed)
	}
	return results
}

var resultLine = regexp.MustCompile(`(?m)^(?:[✓✗] )?([A-Za-z0-9-]+): (\d+ passed, \d+ failed.*)$`)

// summary returns "82 passed, 0 failed" by scenario, and under "Total".
func summary(printed string) map[string]string {
	_, printed, _ = strings.Cut(printed, "=== SUMMARY ===")
	results := map[string]string{}
	for _, match := range resultLine.FindAllStringSubmatch(printed, -1) {
		results[match[1]] = match[2]
	}
	return results
}
