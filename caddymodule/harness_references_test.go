package caddymodule

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
)

// references are those that answers showed, by the address they came from. Every
// test that ends looks whether they are in the log at the default level, so that
// no answer is missing there, whatever tests come to be.
var references = shownReferences{byAddress: map[string]map[string]string{}}

type shownReferences struct {
	mu        sync.Mutex                   // guards byAddress
	byAddress map[string]map[string]string // to reference, to the request it answered
}

// shownReference is a reference in an answer of any kind: JSON, or a page.
var shownReference = regexp.MustCompile(`(?:"correlation_id":\s*"|(?i:reference): <code>)([0-9a-f-]{36})`)

// note notes what an answer shows. It reads no answer that may be a stream.
func (s *shownReferences) note(r *http.Request, res *http.Response) {
	kind := res.Header.Get("Content-Type")
	page := strings.HasPrefix(kind, "text/html")
	if !page && (res.StatusCode < http.StatusBadRequest || !strings.HasPrefix(kind, "application/json")) || res.ContentLength < 0 && !page {
		return
	}
	body, err := io.ReadAll(res.Body)
	rest := io.Reader(bytes.NewReader(body))
	if err != nil {
		rest = io.MultiReader(rest, failing{err})
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{rest, res.Body}
	if !bytes.Contains(body, []byte(`"correlation_id"`)) && !bytes.Contains(body, []byte(": <code>")) {
		return // as nearly all, which the pattern takes long to say
	}
	for _, found := range shownReference.FindAllSubmatch(body, -1) {
		s.mu.Lock()
		if s.byAddress[r.URL.Host] == nil {
			s.byAddress[r.URL.Host] = map[string]string{}
		}
		s.byAddress[r.URL.Host][string(found[1])] = r.Method + " " + r.URL.Path + " " + res.Status
		s.mu.Unlock()
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// secretForm is what secrets of the site and of these tests look like: tokens,
// codes, keys, tickets of links, what tests give as state or verifier.
var secretForm = regexp.MustCompile(`mcp(at|rt|ac|k|cs|reg)_[\w-]{8,}|-key-0123456789|/oauth/connect/[\w-]{8,}|a-verifier-of-|state-canary|secret-canary`)

// wantReferencesInLog asserts that each reference that the gateway showed is in
// its log, in a line that is there without any level being changed, and that no
// line about an event has a secret.
func (g *instance) wantReferencesInLog() {
	references.mu.Lock()
	defer references.mu.Unlock()
	shown := references.byAddress[g.addr]
	delete(references.byAddress, g.addr)
	if _, err := os.Stat(g.logs); err != nil && len(shown) == 0 {
		return // a test that keeps no log
	}
	for line := range strings.Lines(g.log()) {
		var entry struct {
			Level     string `json:"level"`
			Event     string `json:"event"`
			Reference string `json:"correlation_id"`
		}
		if !strings.Contains(line, `"event":`) && !strings.Contains(line, `"correlation_id":`) || json.Unmarshal([]byte(line), &entry) != nil {
			continue
		}
		if entry.Level != "debug" {
			delete(shown, entry.Reference)
		}
		if strings.Contains(entry.Event, ".") && secretForm.MatchString(line) {
			g.t.Errorf("a secret is in the log: %s", line)
		}
	}
	for reference, request := range shown {
		g.t.Errorf("%s showed %s, which is not in the log at INFO", request, reference)
	}
}
