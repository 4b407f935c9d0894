package programs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Main runs m and then removes the binaries its tests built.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mcp-oauth-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries.dir = dir
	return m.Run()
}

// binaries are built at most once per test process, on first use.
var binaries struct {
	dir  string
	lock sync.Mutex
	done map[string]error
}

// Caddy returns the path of the gateway: Caddy with this plugin. Tests under
// the race detector get a gateway under the race detector. The environment
// variable CADDY names another one.
func Caddy(t testing.TB) string {
	if path := os.Getenv("CADDY"); path != "" {
		return path
	}
	return Build(t, "caddy", "github.com/mcpoauth/caddy-mcp-oauth/cmd/caddy")
}

// Build builds a program, unless it is built already, and returns its path.
func Build(t testing.TB, name, pkg string) string {
	t.Helper()
	args := []string{"build"}
	if raceEnabled {
		args = append(args, "-race")
	}
	return build(t, name, func(path string) *exec.Cmd {
		return exec.Command("go", append(args, "-o", path, pkg)...)
	})
}

// BuildModule builds the program in a folder below integration_test that is a
// module of its own.
func BuildModule(t testing.TB, folder string) string {
	t.Helper()
	return build(t, folder, func(path string) *exec.Cmd {
		cmd := exec.Command("go", "build", "-C", folder, "-o", path, ".")
		cmd.Env = append(os.Environ(), "GOWORK=off")
		return cmd
	})
}

func build(t testing.TB, name string, command func(path string) *exec.Cmd) string {
	t.Helper()
	binaries.lock.Lock()
	defer binaries.lock.Unlock()
	path := filepath.Join(binaries.dir, name)
	err, done := binaries.done[name]
	if !done {
		if out, buildErr := command(path).CombinedOutput(); buildErr != nil {
			err = fmt.Errorf("%w: %s", buildErr, out)
		}
		if binaries.done == nil {
			binaries.done = map[string]error{}
		}
		binaries.done[name] = err
	}
	if err != nil {
		t.Fatalf("build %s: %v", name, err)
	}
	return path
}
