//go:build integration

package integration_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// The official suite judges OAuth clients by letting them loose on servers and
// providers that it made up, good and bad ones. It judges the Go SDK's client
// and then the gateway, as the client of its upstreams. What the first passes
// the second passes too, and it fails nothing else; testdata explains the
// exceptions, and each of them must be one.
func TestConformanceClient(t *testing.T) {
	const sdk = "github.com/modelcontextprotocol/go-sdk/conformance/everything-client"
	const module = "github.com/mcpoauth/caddy-mcp-oauth/integration_test/conformanceclient"
	everything, gateway := programs.Build(t, "everything-client", sdk), programs.Build(t, "conformance-client", module)
	caddy := programs.Caddy(t)
	for _, revision := range []string{"2025-11-25", "2026-07-28"} {
		t.Run(revision, func(t *testing.T) {
			bare := judgeClient(t, everything, revision)
			gated := judgeClient(t, gateway, revision, "CADDY="+caddy, "EVERYTHING_CLIENT="+everything)
			unused := maps.Clone(explained(t))
			for _, scenario := range slices.Sorted(maps.Keys(bare)) {
				for _, difference := range worse(bare[scenario].verdicts, gated[scenario].verdicts) {
					name := scenario + " " + difference.check
					if _, known := explained(t)[name]; known {
						delete(unused, name)
						continue
					}
					t.Errorf("%s is %q for the gateway, %q for the Go SDK's client; printed:\n%s",
						name, difference.gated, difference.bare, gated[scenario].printed)
				}
			}
			for name := range unused {
				t.Errorf("%s is no difference any more", name)
			}
			if len(gated) != len(bare) {
				t.Errorf("%d scenarios with the gateway, %d without", len(gated), len(bare))
			}
		})
	}
}

// judgement is what the suite says of one scenario.
type judgement struct {
	// verdicts are the worst result of each check.
	verdicts map[string]string
	// printed is what the client said about it.
	printed string
}

// difference is a check whose result differs.
type difference struct{ check, bare, gated string }

// worse returns the checks that are worse for the gateway: passed by the other
// alone, or failed by it alone.
func worse(bare, gated map[string]string) []difference {
	var all []difference
	for check, result := range bare {
		if result == "SUCCESS" && gated[check] != "SUCCESS" {
			all = append(all, difference{check, result, gated[check]})
		}
	}
	for check, result := range gated {
		if result != "SUCCESS" && bare[check] == "" {
			all = append(all, difference{check, "", result})
		}
	}
	return all
}

var (
	resultDir = regexp.MustCompile(`-\d{4}-\d{2}-\d{2}T[\dTZ-]+$`)
	totalLine = regexp.MustCompile(`(?m)^Total: .*$`)
)

// judgeClient runs the suite on a client and returns what it says by scenario.
func judgeClient(t *testing.T, command, revision string, env ...string) map[string]judgement {
	t.Helper()
	dir := t.TempDir()
	suite := programs.Node(t, conformance, "client", "--command", command, "--requirements", revision, "--timeout", "300000", "-o", dir)
	suite.Env = append(suite.Env, env...)
	program := programs.Start(t, suite)
	_ = program.Wait(t) // it fails for what is not scored, too
	t.Log(totalLine.FindString(program.String()))

	all := map[string]judgement{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "checks.json" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var checks []struct{ ID, Status string }
		if err := json.Unmarshal(text, &checks); err != nil {
			return err
		}
		verdicts := map[string]string{}
		for _, check := range checks {
			if v := verdicts[check.ID]; check.Status != "INFO" && (v == "" || v == "SUCCESS") {
				verdicts[check.ID] = check.Status
			}
		}
		printed, err := os.ReadFile(filepath.Join(filepath.Dir(path), "stderr.txt"))
		if err != nil {
			return err
		}
		scenario, err := filepath.Rel(dir, resultDir.ReplaceAllString(filepath.Dir(path), ""))
		all[scenario] = judgement{verdicts, string(printed)}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("a judgement of %d scenarios; printed last:\n%s", len(all), program.Tail())
	}
	return all
}

// explained returns the reasons of differences, by scenario and check.
func explained(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/conformance_client.txt")
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, " ", 3)
		if len(fields) != 3 {
			t.Fatalf("no reason in %q", line)
		}
		reasons[fields[0]+" "+fields[1]] = fields[2]
	}
	return reasons
}
