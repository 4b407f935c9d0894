package caddymodule

import (
	"fmt"
	"os"
	"regexp"
	"slices"
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
		"caddyfile_global.go": {"mcp_oauth {", globalOptions()},
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
	for _, u := range usages(g) {
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

// The tables of options in docs have what there is, as it is written, in the
// same order.
func TestReference(t *testing.T) {
	accounts := usagesOf(oauthOptions)
	for _, u := range usagesOf(pastedOptions) {
		if !slices.Contains(accounts, u) {
			accounts = append(accounts, u)
		}
	}
	for page, want := range map[string][][]string{
		"sign-in.md":       {usagesOf(oidcOptions)},
		"machines.md":      {usagesOf(workloadOptions)},
		"accounts.md":      {accounts},
		"configuration.md": {usagesOf(globalOptions()), usagesOf(siteOptions)},
	} {
		text, err := os.ReadFile("../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		tables := optionTables(string(text))
		for i, rows := range want {
			if i >= len(tables) {
				t.Fatalf("%s: got %d tables of options, want %d", page, len(tables), len(want))
			}
			if got, want := strings.Join(tables[i], "\n"), strings.Join(rows, "\n"); got != want {
				t.Errorf("%s: table %d has\n%s\n\nwant\n%s", page, i+1, got, want)
			}
		}
	}
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// optionTables returns the code of the first cells of each table of options.
func optionTables(text string) [][]string {
	var tables [][]string
	inside := false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "| option |"):
			tables, inside = append(tables, nil), true
		case !strings.HasPrefix(line, "|"):
			inside = false
		case inside:
			cell, _, _ := strings.Cut(strings.ReplaceAll(line[1:], `\|`, "\x00"), "|")
			for _, span := range codeSpan.FindAllStringSubmatch(cell, -1) {
				tables[len(tables)-1] = append(tables[len(tables)-1], strings.ReplaceAll(span[1], "\x00", "|"))
			}
		}
	}
	return tables
}

// usagesOf returns how all options of a block are written, each before those in
// its own block. Those of accounts and providers have tables of their own.
func usagesOf(g grammar) []string {
	var list []string
	for _, u := range usages(g) {
		if u.block == nil {
			list = append(list, u.option)
			continue
		}
		list = append(list, u.option+" { … }")
		if _, isFree := u.block.(free); !isFree && !strings.HasPrefix(u.option, "auth ") && !strings.HasPrefix(u.option, "identity oidc ") &&
			!strings.HasPrefix(u.option, "identity workload ") {
			list = append(list, usagesOf(u.block)...)
		}
	}
	return list
}

// usage tells how an option is written.
type usage struct {
	option  string // with its arguments
	repeats bool
	block   grammar
}

// usages returns how the options of a block are written.
func usages(g grammar) []usage { return g.(interface{ usages() []usage }).usages() }

func (f free) usages() []usage { return []usage{{option: string(f), repeats: true}} }

func (b block[T]) usages() []usage {
	list := make([]usage, len(b))
	for i, o := range b {
		list[i] = usage{o.usage(), o.repeats(), o.block}
	}
	return list
}
