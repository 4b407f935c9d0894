package programs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Mutant returns the path of a gateway with a fault: text in a file of this module
// is replaced. What looks for faults should find it.
func Mutant(t testing.TB, file, text, by string) string {
	t.Helper()
	return build(t, "mutant", func(path string) *exec.Cmd {
		overlay, err := mutate(filepath.Dir(path), file, text, by)
		if err != nil {
			t.Fatal(err)
		}
		return exec.Command("go", "build", "-overlay", overlay, "-o", path, "github.com/mcpoauth/caddy-mcp-oauth/cmd/caddy")
	})
}

func mutate(dir, file, text, by string) (overlay string, err error) {
	_, here, _, _ := runtime.Caller(0)
	original := filepath.Join(filepath.Dir(here), "..", "..", file)
	source, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	if !bytes.Contains(source, []byte(text)) {
		return "", os.ErrNotExist
	}
	mutant := filepath.Join(dir, "mutant.go")
	if err := os.WriteFile(mutant, bytes.ReplaceAll(source, []byte(text), []byte(by)), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "mutant.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

// Check is a place of this program where something is checked, and how it reads if that
// can be taken out: By has calls of isOut, with the names of checks.
type Check struct{ File, Text, By string }

// WithChecks returns the path of the tests of a package, built so
// that checks can be taken out while they run: isOut reports whether the environment
// variable MCP_OAUTH_CHECKS_OUT has a name, between bars. The tests have the build tag.
func WithChecks(t testing.TB, pkg, tag string, checks []Check) string {
	t.Helper()
	return build(t, "checks.test", func(path string) *exec.Cmd {
		overlay, err := overlayChecks(filepath.Dir(path), checks)
		if err != nil {
			t.Fatal(err)
		}
		return exec.Command("go", "test", "-c", "-tags", tag, "-overlay", overlay, "-o", path, "github.com/mcpoauth/caddy-mcp-oauth/"+pkg)
	})
}

// isOut is the file that each package with a check gets besides.
const isOut = `

import (
	"os"
	"strings"
)

func isOut(check string) bool { return strings.Contains(os.Getenv("MCP_OAUTH_CHECKS_OUT"), "|"+check+"|") }
`

func overlayChecks(dir string, checks []Check) (overlay string, err error) {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..")
	sources, replaced := map[string][]byte{}, map[string]string{}
	for _, c := range checks {
		original := filepath.Join(root, filepath.FromSlash(c.File))
		source := sources[original]
		if source == nil {
			if source, err = os.ReadFile(original); err != nil {
				return "", err
			}
		}
		if n := bytes.Count(source, []byte(c.Text)); n != 1 {
			return "", fmt.Errorf("%s has %d times %q, want once", c.File, n, c.Text)
		}
		sources[original] = bytes.Replace(source, []byte(c.Text), []byte(c.By), 1)
		at := bytes.Index(append([]byte("\n"), source...), []byte("\npackage ")) // behind its comment
		name, _, _ := bytes.Cut(source[at:], []byte("\n"))
		sources[filepath.Join(filepath.Dir(original), "checksout.go")] = append(name, isOut...)
	}
	for original, source := range sources {
		name := filepath.Join(dir, fmt.Sprintf("checked%d.go", len(replaced)))
		if err := os.WriteFile(name, source, 0o600); err != nil {
			return "", err
		}
		replaced[original] = name
	}
	list, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "checks.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}
