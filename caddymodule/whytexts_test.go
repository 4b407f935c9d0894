package caddymodule

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/faults"
)

// What an operator is told to set or to run exists: options and commands are
// documented.
func TestFixesCanBeDone(t *testing.T) {
	var docs strings.Builder
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(page) != "why.md" {
			docs.Write(text)
		}
	}
	protocol := []string{"redirect_uri", "jwks_uri"}
	options, commands := regexp.MustCompile(`\b[a-z]+(_[a-z]+)+\b`), regexp.MustCompile(`caddy mcp-oauth ([a-z-]+)`)
	for _, f := range faults.All {
		for _, option := range options.FindAllString(f.Fix, -1) {
			if !strings.Contains(docs.String(), option) && !slices.Contains(protocol, option) {
				t.Errorf("%s: nothing documents %s", f.ID, option)
			}
		}
		for _, command := range commands.FindAllStringSubmatch(f.Fix, -1) {
			if !strings.Contains(docs.String(), "\n## "+command[1]+"\n") {
				t.Errorf("%s: there is no command %s", f.ID, command[1])
			}
		}
	}
}
