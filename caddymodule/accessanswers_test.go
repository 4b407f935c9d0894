package caddymodule

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// answersByCase is a server that answers as the header X-Case of the request says.
func answersByCase(t *testing.T) (*httptest.Server, *atomic.Int32) {
	const list = `{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"public","ttlMs":1,"tools":[{"name":"secret"},{"name":"read"}]}}`
	const able = `{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{},"prompts":{},"resources":{},"completions":{},"logging":{}}}}`
	var called atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if strings.Contains(string(body), "tools/call") || strings.Contains(string(body), "completion/") {
			called.Add(1)
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		answer, status := list, http.StatusOK
		switch r.Header.Get("X-Case") {
		case "gzip":
			h.Set("Content-Encoding", "gzip")
		case "part":
			status = http.StatusPartialContent
			h.Set("Content-Range", "bytes 0-9/99")
		case "stream":
			h.Set("Content-Type", "text/event-stream")
			answer = "id: 7\ndata: " + list + "\n\n"
		case "able":
			answer = able
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s, &called
}

// Whatever form an answer comes in, nothing in it is passed on that its caller may not
// use; what cannot be read is not passed on at all.
func TestAnswersWithAccessRules(t *testing.T) {
	s, called := answersByCase(t)
	g := newGateway(t, alice+"server a /a "+s.URL+" {\npass_headers X-Case\ntools {\ndeny secret\nallow read read_only\nallow read\n}\nprompts {\ndeny *\n}\n}\n"+
		"server strict /strict "+s.URL+" {\ntools {\nallow * read_only\n}\n}\n")
	request := func(method string) string { return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{}}` }
	for name, tt := range map[string]struct {
		verb, kase, method, version string
		status                      int
		want, lacks                 string
	}{
		"a list":                {"POST", "", "tools/list", "2025-06-18", 200, `"read"`, "secret"},
		"a cached list":         {"POST", "", "tools/list", "2026-07-28", 200, `"cacheScope":"private"`, "secret"},
		"a compressed answer":   {"POST", "gzip", "tools/list", "2025-06-18", 502, "cannot be read", "secret"},
		"a part of an answer":   {"POST", "part", "tools/list", "2025-06-18", 502, "cannot be read", "secret"},
		"a stream":              {"POST", "stream", "tools/list", "2025-06-18", 200, "data: ", "secret"},
		"a stream that resumes": {"GET", "stream", "", "2025-06-18", 200, "id: 7", "secret"},
		"initialize":            {"POST", "able", "initialize", "2025-06-18", 200, `"tools"`, `"prompts"`},
		"discovery":             {"POST", "able", "server/discover", "2026-07-28", 200, `"logging"`, `"prompts"`},
	} {
		headers := []string{"Content-Type", "application/json", "Mcp-Protocol-Version", tt.version, "X-Case", tt.kase}
		body := request(tt.method)
		if tt.verb == "GET" {
			body, headers = "", append(headers, "Last-Event-Id", "6", "Accept", "text/event-stream")
		}
		if tt.version == "2026-07-28" {
			headers = append(headers, "Mcp-Method", tt.method)
			body = strings.Replace(body, `"params":{}`, `"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}`, 1)
		}
		got := status(t, g.call(tt.verb, "/a", body, headers...), tt.status)
		if !strings.Contains(got, tt.want) || strings.Contains(got, tt.lacks) {
			t.Errorf("%s: got %s\nwant %s and no %s", name, got, tt.want, tt.lacks)
		}
	}
	called.Store(0)
	// Of a tool that was listed to nobody, in a body that is not kept, MCP's defaults hold.
	large := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{"x":"` + strings.Repeat("x", 70<<10) + `"}}}`
	if got := status(t, g.call("POST", "/strict", large), 200); !strings.Contains(got, "Unknown tool: read") || called.Load() != 0 {
		t.Errorf("a large call of a tool that was never listed: %s, called %d times", got, called.Load())
	}
	for _, params := range []string{`{}`, `{"ref":{}}`, `{"ref":{"type":"ref/other","name":"x"}}`, `{"ref":{"type":"ref/prompt","name":1}}`} {
		body := `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":` + params + `}`
		if status(t, g.call("POST", "/a", body), 400); called.Load() != 0 {
			t.Errorf("completion of %s reaches the server", params)
		}
	}
}
