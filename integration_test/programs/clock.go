package programs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// CaddyWithClock returns the path of a gateway whose clock ClockAhead can set.
// The source is that of the gateway; only time.Now of the standard library is
// another one, so that Caddy and all libraries have that clock too. The gateway
// itself has nothing to set its clock by. The environment variable
// CADDY_WITH_CLOCK names one that was built before.
func CaddyWithClock(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CADDY_WITH_CLOCK"); path != "" {
		return path
	}
	return build(t, "caddy-clock", func(path string) *exec.Cmd {
		overlay, err := clockOverlay()
		if err != nil {
			t.Fatal(err)
		}
		return exec.Command("go", "build", "-overlay", overlay, "-o", path, "github.com/mcpoauth/caddy-mcp-oauth/cmd/caddy")
	})
}

// ClockAhead is the environment variable that has the clock of a program of
// CaddyWithClock be ahead of the machine's, or behind.
func ClockAhead(ahead time.Duration) string {
	return clockVariable + "=" + strconv.FormatInt(int64(ahead/time.Second), 10)
}

const clockVariable = "HARNESS_CLOCK_AHEAD"

// clockOverlay writes what `go build -overlay` puts in the place of the standard
// library's package time, and returns the path of the list.
//
// It is the same place each time: else everything would be compiled each time.
func clockOverlay() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "caddy-mcp-oauth-clock-"+runtime.Version())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		return "", err
	}
	const read = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if bytes.Count(text, []byte(read)) != 1 {
		return "", fmt.Errorf("time.Now of %s is not as it was known: adapt clockOverlay", runtime.Version())
	}
	text = bytes.Replace(text, []byte(read), []byte(read+"\tsec += ahead\n"), 1)
	ahead := `package time

import "syscall"

var ahead = func() (seconds int64) {
	text, _ := syscall.Getenv("` + clockVariable + `")
	sign := int64(1)
	for i, c := range text {
		if i == 0 && c == '-' {
			sign = -1
			continue
		}
		seconds = seconds*10 + int64(c-'0')
	}
	return sign * seconds
}()
`
	replace := map[string]string{}
	for name, content := range map[string][]byte{"time.go": text, "ahead.go": []byte(ahead)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(source, name)] = path
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}
