package caddymodule

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The tables of options are what is read; what is written about them says the
// same.
func TestGrammarComments(t *testing.T) {
	for file, g := range map[string]struct {
		start   string
		grammar grammar
	}{
		"caddyfile.go":        {"mcp_oauth {", siteOptions},
		"caddyfile_global.go": {"mcp_oauth {", globalOptions},
	} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, after, found := strings.Cut(string(source), "//\n//\t")
		_, rest, more := strings.Cut(after, "func parse")
		if !found || !more {
			t.Fatalf("%s: no comment with the grammar", file)
		}
		want := before + "//\n" + commented(g.start, g.grammar) + "func parse" + rest
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if string(source) != want {
			t.Errorf("%s: the comment is not the grammar; go test -run TestGrammarComments -update", file)
		}
	}
}

func commented(start string, g grammar) string {
	var b strings.Builder
	b.WriteString("//\t" + start + "\n")
	writeGrammar(&b, g, "//\t    ")
	b.WriteString("//\t}\n")
	return b.String()
}

func writeGrammar(b *strings.Builder, g grammar, indent string) {
	for _, u := range g.usages() {
		repeats := ""
		if u.repeats {
			repeats = "  # repeatable"
		}
		if u.block == nil {
			fmt.Fprintf(b, "%s%s%s\n", indent, u.option, repeats)
			continue
		}
		fmt.Fprintf(b, "%s%s {%s\n", indent, u.option, repeats)
		writeGrammar(b, u.block, indent+"    ")
		fmt.Fprintf(b, "%s}\n", indent)
	}
}
