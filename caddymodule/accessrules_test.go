package caddymodule

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What is not allowed is answered as if it were not there, in the form that MCP has
// for it, and the log says by which rule.
func TestRefusedByAccessRule(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":"of the server"}`)
	}))
	t.Cleanup(upstream.Close)
	rules := " {\ntools {\ndeny delete_* user:alice\nallow get* key:alice\n}\nresources {\nallow file:///a\n}\nprompts {\ndeny admin\nallow *\n}\n"
	g := newGateway(t, alice+"server plain /plain "+upstream.URL+"/mcp"+rules+"}\nserver told /told "+upstream.URL+"/mcp"+rules+"refusals explain\n}")
	const old, stateless = "2025-06-18", "2026-07-28"
	for _, test := range []struct {
		path, version, method, params string
		status                        int
		want                          string // in the answer
		lacks                         string
	}{
		{"/plain", old, "tools/call", `{"name":"get_x"}`, 200, "of the server", ""},
		{"/plain", old, "tools/call", `{"name":"delete_x"}`, 200, `"error":{"code":-32602,"message":"Unknown tool: delete_x","data":{"correlation_id":"`, "rule"},
		{"/told", old, "tools/call", `{"name":"delete_x"}`, 200, "\"reason\":\"denied by the rule `deny delete_* user:alice`\"", ""},
		{"/told", old, "tools/call", `{"name":"other"}`, 200, `"reason":"no rule allows it"`, ""},
		{"/plain", old, "resources/read", `{"uri":"file:///b"}`, 200, `"error":{"code":-32002,"message":"Resource not found"`, ""},
		{"/plain", stateless, "resources/read", `{"uri":"file:///b"}`, 200, `"error":{"code":-32602,"message":"Resource not found"`, ""},
		{"/plain", old, "prompts/get", `{"name":"admin"}`, 200, `"message":"Unknown prompt: admin"`, ""},
		{"/plain", old, "prompts/get", `{"name":"greet"}`, 200, "of the server", ""},
		{"/plain", old, "tools/call", `{"name":"get","name":"delete_x"}`, 400, `"code":-32600,"message":"The body could be read in several ways, or is no JSON-RPC."`, ""},
	} {
		headers := []string{"Content-Type", "application/json", "Mcp-Protocol-Version", test.version}
		if test.version == stateless {
			headers = append(headers, "Mcp-Method", test.method, "Mcp-Name", "file:///b")
		}
		res := g.call("POST", test.path, `{"jsonrpc":"2.0","id":"i","method":"`+test.method+`","params":`+test.params+`}`, headers...)
		got := status(t, res, test.status)
		if !strings.Contains(got, test.want) || test.lacks != "" && strings.Contains(got, test.lacks) {
			t.Errorf("%s %s %s: got %s\nwant %s, and not %q", test.path, test.method, test.params, got, test.want, test.lacks)
		}
	}
	batch := `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"delete_x"}},{"jsonrpc":"2.0","method":"notifications/x"}]`
	if got := status(t, g.call("POST", "/plain", batch), 200); !strings.HasPrefix(got, `[{"jsonrpc":"2.0","id":1,"error":{"code":-32600,`) || !strings.Contains(got, `{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"Unknown tool: delete_x"`) {
		t.Errorf("a batch: got %s", got)
	}
	if got := status(t, g.call("POST", "/plain", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"delete_x"}}`), 202); got != "" {
		t.Errorf("a notification: got %s", got)
	}
	for _, want := range []string{`"reason":"access_rule"`, "tool \\\"delete_x\\\": denied by the rule `deny delete_* user:alice`", `resource \"file:///b\": no rule allows it`} {
		if !strings.Contains(g.log(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

// A server that a person may use nothing of is none of theirs; and allow names keys.
func TestAccessToServer(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	t.Cleanup(upstream.Close)
	nothing := " {\ntools {\ndeny * key:alice\nallow *\n}\nresources {\ndeny *\n}\nprompts {\ndeny *\n}\n}\n"
	g := newGateway(t, people("alice", "bob")+"server keys /keys "+upstream.URL+"/mcp {\nallow key:bob\n}\nserver nothing /nothing "+upstream.URL+"/mcp"+nothing)
	for name, want := range map[string]int{"alice": http.StatusUnauthorized, "bob": http.StatusAccepted} {
		for _, path := range []string{"/keys", "/nothing"} {
			if got := g.call("POST", path, `{"jsonrpc":"2.0","method":"notifications/x"}`, "Authorization", "Bearer "+keyOf(name)).StatusCode; got != want {
				t.Errorf("%s at %s: status %d, want %d", name, path, got, want)
			}
		}
	}
}

// An answer ends when its caller may not use any more what it is of.
func TestStreamEndsByAccessRule(t *testing.T) {
	upstream, _ := eventStream(t)
	lines := func(rules string) string {
		return alice + "server a /a " + upstream.URL + "/mcp {\ntools {\n" + rules + "\n}\n}"
	}
	g := newGateway(t, lines("allow *"))
	open := func() io.Reader {
		res := g.call("POST", "/a", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"long"}}`)
		if event, err := readEvent(res.Body); err != nil || event != "open" {
			t.Fatalf("%q, %v", event, err)
		}
		return res.Body
	}
	stream := open()
	g.load(g.caddyfile(lines("deny long\nallow *")))
	if rest, err := io.ReadAll(stream); err != nil || len(rest) != 0 {
		t.Errorf("the stream went on with %q, %v", rest, err)
	}
}
