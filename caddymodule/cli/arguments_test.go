package cli

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

// Who leaves out an argument of a command, or writes one more, reads which and what to
// write, rather than how many there are.
func TestArgumentsAreNamed(t *testing.T) {
	for line, want := range map[string]string{
		"tools list":                          "SERVER is missing; write `mcp-oauth tools list SERVER`",
		"tools approve":                       "SERVER is missing; write `mcp-oauth tools approve SERVER [TOOL...]`",
		"may":                                 "PERSON is missing; write `mcp-oauth may PERSON SERVER [NAME]`",
		"may alice":                           "SERVER is missing; write `mcp-oauth may PERSON SERVER [NAME]`",
		"may alice wiki search more":          "\"more\" is more than it takes; write `mcp-oauth may PERSON SERVER [NAME]`",
		"doctor":                              "<MCP URL> is missing; write `mcp-oauth doctor <MCP URL>`",
		"add":                                 "<MCP URL>|<preset> is missing; write `mcp-oauth add <MCP URL>|<preset>`",
		"audit verify":                        "<file> is missing; write `mcp-oauth audit verify <file>...`",
		"initial-access-tokens create":        "NAME is missing; write `mcp-oauth initial-access-tokens create NAME`",
		"connections notion":                  "there is no command \"notion\"; mcp-oauth connections --help lists them",
		"migrate here --from x --to y":        "\"here\" is more than it takes; write `mcp-oauth migrate --from CONFIG --to CONFIG`",
		"keys make a b":                       "\"b\" is more than it takes; write `mcp-oauth keys make NAME`",
		"why reference-1 reference-2 --json ": "\"reference-2\" is more than it takes; write `mcp-oauth why [reference]`",
	} {
		parent := &cobra.Command{Use: "mcp-oauth", SilenceErrors: true, SilenceUsage: true}
		Add(parent)
		parent.SetOut(io.Discard)
		parent.SetErr(io.Discard)
		parent.SetArgs(strings.Fields(line))
		if err := parent.Execute(); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", line, err, want)
		}
	}
}

func TestMeantTool(t *testing.T) {
	tools := []adminapi.Tool{{Name: "search_pages"}, {Name: "delete"}}
	for name, want := range map[string]string{
		"search_page":  "; did you mean search_pages?",
		"search_pages": "", // there is one, which does not wait
		"summary":      "",
	} {
		if got := meant(name, tools); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
