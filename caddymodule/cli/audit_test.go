package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/hashchain"
)

// The command names the first broken line, needs no Caddy, and its exit status says
// whether all is in order.
func TestAuditVerify(t *testing.T) {
	var lines []string
	var end hashchain.Head
	for range 4 {
		var line []byte
		line, end = end.Append(nil, []byte(`{"event":"call.finished"}`), 0)
		lines = append(lines, string(line))
	}
	dir := t.TempDir()
	file := func(name string, lines ...string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first, second := file("audit-1.log", lines[:2]...), file("audit.log", lines[2:]...)
	for name, tt := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"whole":            {[]string{second, first}, 0, "Lines 1 to 4 are as they were written. The hash of line 4 is " + end.Hash.String()},
		"the newest alone": {[]string{second}, 0, "What was before line 3 is not in these files."},
		"with its end":     {[]string{"--head", end.Hash.String(), first, second}, 0, "Lines 1 to 4"},
		"without its end":  {[]string{"--head", end.Hash.String(), first}, 1, "is not in the chain, which ends with line 2"},
		"changed":          {[]string{file("changed.log", lines[0], strings.Replace(lines[1], "finished", "started", 1))}, 1, "changed.log:2: this line was changed"},
		"missing":          {[]string{file("missing.log", lines[0], lines[2])}, 1, "missing.log:2: this is line 3 of the chain and the one before is line 1"},
		"reordered":        {[]string{file("reordered.log", lines[1], lines[0])}, 1, "reordered.log:2: "},
		"not chained":      {[]string{file("plain.log", "{}\n")}, 1, "no line is chained"},
		"no such file":     {[]string{filepath.Join(dir, "none.log")}, 2, "none.log"},
		"no hash":          {[]string{"--head", "abc", first}, 2, "64 hexadecimal digits"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := runAudit(tt.args...)
			got, text := 0, out
			if err != nil {
				got, text = 1, out+err.Error()
				if s := (status{}); errors.As(err, &s) {
					got = s.code
				}
			}
			if got != tt.status || !strings.Contains(text, tt.says) {
				t.Errorf("status %d, want %d; says %q, want %q", got, tt.status, text, tt.says)
			}
			if tt.status == 2 {
				return
			}
			out, _ = runAudit(append(tt.args, "--json")...)
			var answer auditAnswer
			if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Whole != (tt.status == 0) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// runAudit runs the command without what Caddy makes of errors.
func runAudit(args ...string) (string, error) {
	parent := &cobra.Command{Use: "mcp-oauth", SilenceErrors: true, SilenceUsage: true}
	Add(parent)
	verify, _, err := parent.Find([]string{"audit", "verify"})
	if err != nil {
		return "", err
	}
	verify.RunE = func(cmd *cobra.Command, args []string) error { return verifyAudit(&invocation{cmd: cmd, args: args}) }
	var out bytes.Buffer
	parent.SetOut(&out)
	parent.SetErr(&out)
	parent.SetArgs(append([]string{"audit", "verify"}, args...))
	err = parent.Execute()
	return out.String(), err
}
