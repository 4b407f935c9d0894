package programs

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Node returns a command that runs a script below integration_test/js with the
// Node that is pinned there, which on many machines is newer than the
// installed one. It has a home of its own, and opens no browser.
func Node(t testing.TB, script string, args ...string) *exec.Cmd {
	t.Helper()
	found, _ := filepath.Glob(Script(t, "node_modules/node-*/bin/node"))
	if len(found) != 1 {
		t.Fatalf("no Node in %s: run ./test.sh, or npm ci there", Script(t, "node_modules"))
	}
	home := t.TempDir()
	opener := filepath.Join(home, "bin", "xdg-open")
	if err := os.Mkdir(filepath.Dir(opener), 0o700); err != nil {
		t.Fatal(err)
	}
	// The test is the browser: it takes the link from what the client prints.
	if err := os.WriteFile(opener, []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(found[0], append([]string{Script(t, script)}, args...)...)
	cmd.Dir = home
	cmd.Env = append(os.Environ(),
		"HOME="+home,
		"BROWSER=true",
		"NO_COLOR=1",
		"PATH="+filepath.Dir(opener)+":"+filepath.Dir(found[0])+":"+os.Getenv("PATH"))
	return cmd
}

// Script is the path of a file below integration_test/js, for tests of any
// package.
func Script(t testing.TB, name string) string {
	t.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the test does not know where its source is")
	}
	return filepath.Join(filepath.Dir(here), "..", "js", name)
}
