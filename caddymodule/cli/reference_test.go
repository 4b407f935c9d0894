package cli

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write anew the generated part of docs/commands.md")

const (
	reference = "../../docs/commands.md"
	generated = "<!-- What follows is written by: go test ./caddymodule/cli -update -->\n"
)

// TestReference compares docs/commands.md with the commands.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), generated)
	if !found {
		t.Fatalf("%s has no line %q", reference, generated)
	}
	want := newReference()
	if *update {
		if err := os.WriteFile(reference, []byte(before+generated+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if after != want {
		t.Errorf("%s is not what the commands say; write it anew: go test ./caddymodule/cli -update", reference)
	}
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
