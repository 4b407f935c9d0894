package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const repository = "../.."

var (
	shellBlocks = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```")
	inlineCode  = regexp.MustCompile("`(caddy [^`\n]+)`")
	placeholder = regexp.MustCompile(`<[^>]+>`)
	inComment   = regexp.MustCompile(`(?m)^#\s+((?:caddy|go|curl|export|node|docker) .+)$`)
	inSource    = regexp.MustCompile(`caddy mcp-oauth ([a-z][a-z-]+)`)
)

// Every command that the documentation and the examples show is one that there is,
// with flags and arguments that it takes. TestDocumentedCommands runs those of
// docs/commands.md.
func TestShownCommands(t *testing.T) {
	shown := 0
	for _, page := range globs(t, "*.md", "docs/*.md", "docs/decisions/*.md", "examples/*.caddyfile", "examples/sign-in/*.caddyfile", "Caddyfile.example") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		check := func(line string, inline bool) {
			for _, words := range commandsIn(line) {
				shown++
				if err := (shell{inline: inline}).check(words); err != nil {
					t.Errorf("%s: %s: %v", page, strings.TrimSpace(line), err)
				}
			}
		}
		for _, block := range shellBlocks.FindAllSubmatch(text, -1) {
			for line := range strings.Lines(strings.ReplaceAll(string(block[1]), "\\\n", " ")) {
				check(line, false)
			}
		}
		if filepath.Ext(page) == ".md" && filepath.Base(page) != "CHANGELOG.md" { // which has what was
			for _, code := range inlineCode.FindAllSubmatch(text, -1) {
				check(placeholder.ReplaceAllString(string(code[1]), "x"), true)
			}
			continue
		}
		for _, line := range inComment.FindAllSubmatch(text, -1) {
			check(string(line[1]), false)
		}
	}
	if shown < 100 {
		t.Errorf("only %d commands are shown", shown)
	}
}

// What the program says to run is a command, too.
func TestCommandsInTexts(t *testing.T) {
	parent := &cobra.Command{Use: "mcp-oauth"}
	Add(parent)
	named := 0
	err := filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.Name() == "node_modules":
			return fs.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range inSource.FindAllSubmatch(text, -1) {
			named++
			if name := string(m[1]); !slices.ContainsFunc(parent.Commands(), func(c *cobra.Command) bool { return c.Name() == name }) {
				t.Errorf("%s: there is no command %q", path, name)
			}
		}
		return err
	})
	if err != nil || named < 10 {
		t.Errorf("%d commands are named, %v", named, err)
	}
}

func globs(t *testing.T, patterns ...string) (files []string) {
	t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		files = append(files, found...)
	}
	return files
}
