package store

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A copy of the skeleton in a module of its own builds, and its tests run: nothing
// that it needs is internal.
func TestOutside(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"engine.go": "engine.go", "engine_test.go": "engine_test.go", "../../go.sum": "go.sum"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(to, text)
	}
	write("go.mod", []byte("module store.example\n\ngo 1.26.0\n\nrequire github.com/mcpoauth/caddy-mcp-oauth v0.0.0\n\nreplace github.com/mcpoauth/caddy-mcp-oauth => "+root+"\n"))
	for _, args := range [][]string{{"vet", "."}, {"test", "-count=1", "-run", "TestConformance/usage", "."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %v: %v\n%s", args, err, out)
		}
	}
}
