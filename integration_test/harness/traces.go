package harness

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// MustNotKeep ends the gateway and fails the test if one of the secrets is in
// anything it printed or wrote.
func (g *Gateway) MustNotKeep(t testing.TB, secrets map[string]string) {
	t.Helper()
	if !g.stopped {
		g.Stop(t)
	}
	MustNotKeep(t, g.Dir, g.Printed(), secrets)
}

// MustNotKeep fails the test if one of the secrets is in the printed text or in
// a file below dir: logs, access log, database, data directory. Each is looked
// for as it is and in the encodings it would travel in.
func MustNotKeep(t testing.TB, dir, printed string, secrets map[string]string) {
	t.Helper()
	traces := map[string][]byte{"what was printed": []byte(printed)}
	database := false
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		traces[strings.TrimPrefix(path, dir)] = content
		database = database || strings.HasSuffix(path, ".db") && len(content) > 0
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !database {
		t.Fatalf("no database below %s: nothing was searched", dir)
	}
	for name, secret := range secrets {
		if len(secret) < 8 {
			t.Fatalf("%s is %q: too short to look for", name, secret)
		}
		for where, content := range traces {
			for _, form := range encodings(secret) {
				if at := bytes.Index(content, []byte(form)); at >= 0 {
					t.Errorf("%s is in %s: …%q…", name, where, content[max(0, at-120):min(len(content), at+len(form)+20)])
					break
				}
			}
		}
	}
}

func encodings(secret string) []string {
	quoted, _ := json.Marshal(secret)
	return []string{
		secret,
		url.QueryEscape(secret),
		strings.Trim(string(quoted), `"`),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
		base64.RawURLEncoding.EncodeToString([]byte(secret)),
		hex.EncodeToString([]byte(secret)),
	}
}

// Requests counts the finished requests with that method and path, from the
// access log.
func (g *Gateway) Requests(t testing.TB, method, path string) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(g.Dir, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(log) {
		var entry struct {
			Request struct{ Method, URI string }
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			continue // a line still being written
		}
		uri, _, _ := strings.Cut(entry.Request.URI, "?")
		if entry.Request.Method == method && uri == path {
			n++
		}
	}
	return n
}

// AwaitRequests waits until there are at least want such requests: an entry is
// written when the response has already been sent.
func (g *Gateway) AwaitRequests(t testing.TB, method, path string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), oauthtest.Patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		n := g.Requests(t, method, path)
		if n >= want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d requests %s %s, want %d", n, method, path, want)
		}
	}
}
