//go:build integration

package integration_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

const auditedCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami"}}`

// A Caddy that is killed amid calls leaves an audit log that is in order, and in which
// each call that was answered is. What somebody does to the file afterwards shows,
// without a running Caddy.
func TestAuditOutlivesAKilledCaddy(t *testing.T) {
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{Directives: identities + "audit required\nserver recorder /mcp " + upstream.URL, Env: keys})
	path := filepath.Join(g.Dir, "audit.log")
	text, err := os.ReadFile(g.Caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	g.Configure(t, strings.Replace(string(text), "\tlog default {", "\tlog audit {\n\t\tinclude mcp_oauth_audit\n\t\toutput mcp_oauth_chain "+path+"\n\t}\n\tlog default {", 1))
	g.Reload(t)

	call := func() bool {
		r, err := http.NewRequest(http.MethodPost, g.URL+"/mcp", strings.NewReader(auditedCall))
		if err != nil {
			t.Error(err)
			return false
		}
		r.Header.Set("Authorization", "Bearer "+aliceKey)
		r.Header.Set("Content-Type", "application/json")
		res, err := g.HTTP.Do(r)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err == nil && res.StatusCode < http.StatusInternalServerError
	}
	answered := func(killAfter time.Duration) (n int) {
		var mu sync.Mutex
		var callers sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if call() {
						mu.Lock()
						n++
						mu.Unlock()
					}
				}
			})
		}
		time.Sleep(killAfter)
		g.Kill()
		close(stop)
		callers.Wait()
		return n
	}
	total := 0
	for round := range 3 {
		total += answered(300 * time.Millisecond)
		if round == 1 { // the power fails in the middle of a line
			appendTo(t, path, `{"level":"info","ts":17958`)
		}
		g.Restart(t)
	}
	if !call() {
		t.Error("no calls after a restart")
	}
	g.Stop(t)
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if started := bytes.Count(written, []byte(`"event":"call.started"`)); started < total+1 || total < 10 {
		t.Errorf("%d calls were answered, %d are in the audit log", total+1, started)
	}
	if bytes.Contains(written, []byte(aliceKey)) {
		t.Error("a key is in the audit log")
	}

	out, said, err := mcpOAuth(g, nil, "audit", "verify", path)
	if err != nil || !strings.Contains(out, "are as they were written") || !strings.Contains(out, "incomplete, and the chain says so") {
		t.Fatalf("%v: %s%s", err, out, said)
	}
	lines := bytes.SplitAfter(written, []byte("\n"))
	for what, bad := range map[string][][]byte{
		"changed":   append(append([][]byte{}, lines[:5]...), bytes.Replace(lines[5], []byte("alice"), []byte("mal"), 1)),
		"removed":   append(append([][]byte{}, lines[:5]...), lines[6:]...),
		"reordered": append(append([][]byte{}, lines[:5]...), lines[6], lines[5]),
	} {
		file := filepath.Join(g.Dir, what+".log")
		if err := os.WriteFile(file, bytes.Join(bad, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		out, said, err := mcpOAuth(g, nil, "audit", "verify", file)
		if err == nil || !strings.Contains(said, what+".log:6: ") {
			t.Errorf("%s: %v: %s%s", what, err, out, said)
		}
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
