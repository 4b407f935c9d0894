package harness

import (
	"bytes"
	"encoding/json"
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
