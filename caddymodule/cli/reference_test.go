package cli

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/generated"
)

var update = flag.Bool("update", false, "write anew the generated part of docs/commands.md")

// TestReference compares docs/commands.md with the commands.
func TestReference(t *testing.T) {
	generated.Compare(t, "../../docs/commands.md", newReference(), *update)
}

func newReference() string {
	var b strings.Builder
	root := &cobra.Command{Use: "caddy"}
	parent := &cobra.Command{Use: "mcp-oauth"}
	root.AddCommand(parent)
	Add(parent)
	b.WriteString("\n## Flags of all commands\n")
	writeFlags(&b, parent.PersistentFlags())
	for _, cmd := range parent.Commands() {
		fmt.Fprintf(&b, "\n## %s\n", cmd.Name())
		writeCommand(&b, cmd)
		for _, sub := range cmd.Commands() {
			fmt.Fprintf(&b, "\n### %s %s\n", cmd.Name(), sub.Name())
			writeCommand(&b, sub)
		}
	}
	return b.String()
}

func writeCommand(b *strings.Builder, cmd *cobra.Command) {
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	if cmd.Runnable() {
		fmt.Fprintf(b, "\n```text\n%s\n```\n", cmd.UseLine())
	}
	for paragraph := range strings.SplitSeq(strings.TrimSpace(about), "\n\n") {
		if strings.HasPrefix(paragraph, " ") {
			fmt.Fprintf(b, "\n```text\n%s\n```\n", paragraph)
			continue
		}
		fmt.Fprintf(b, "\n%s\n", strings.Join(strings.Fields(paragraph), " "))
	}
	writeFlags(b, cmd.LocalNonPersistentFlags())
}

func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	head := "\n| flag | |\n|---|---|\n"
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Hidden {
			return
		}
		kind, about := pflag.UnquoteUsage(f)
		if kind != "" {
			kind = " " + kind
		}
		fmt.Fprintf(b, "%s| `--%s%s` | %s |\n", head, f.Name, kind, strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(about))
		head = ""
	})
}

// Each command says what it does, in the same form.
func TestCommandsAreDescribed(t *testing.T) {
	parent := &cobra.Command{Use: "mcp-oauth"}
	Add(parent)
	names := map[string]bool{}
	for _, cmd := range parent.Commands() {
		if names[cmd.Name()] {
			t.Errorf("%s is there twice", cmd.Name())
		}
		names[cmd.Name()] = true
		for _, c := range append(cmd.Commands(), cmd) {
			if c.Short == "" || strings.HasSuffix(c.Short, ".") {
				t.Errorf("%s: short description %q", c.CommandPath(), c.Short)
			}
			if c.Args == nil {
				t.Errorf("%s takes any arguments; say which, with Args", c.CommandPath())
			}
		}
	}
}
