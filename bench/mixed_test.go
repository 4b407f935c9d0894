//go:build integration

package main

import (
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The benchmark starts its own program again as the MCP server.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "upstream" {
		log.Fatal(serveUpstream())
	}
	os.Exit(m.Run())
}

// People sign in, refresh, call, connect, disconnect and revoke, and streams open and
// close, while the configuration is loaded anew: no error, no stream that is cut, and
// no more memory, files and goroutines in the end. The long form is a command, see
// CONTRIBUTING.md.
func TestEverythingAtOnce_N01(t *testing.T) {
	var printed strings.Builder
	b := &bench{plan: quickPlan, report: &report{out: &printed}}
	t.Chdir("..") // where ./cmd/caddy is
	if err := b.run(t.Context(), "mixed", t.TempDir(), filepath.Join(t.TempDir(), "plot.svg")); err != nil {
		t.Fatalf("%v\n%s", err, printed.String())
	}
	for _, store := range []string{"bbolt", "PostgreSQL"} {
		if !strings.Contains(printed.String(), store+": 500 streams, everything") {
			t.Errorf("nothing was measured on %s", store)
		}
	}
	if b.missed() > 0 {
		t.Errorf("%d targets were missed:\n%s", b.missed(), printed.String())
	}
	t.Log(printed.String())
}
