package mcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

const urlCapability = `"elicitation":{"url":{}}`

func modern(method, params string) string {
	return `{"jsonrpc":"2.0","id":7,"method":"` + method + `","params":{` + params + `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientCapabilities":{` + urlCapability + `}}}}`
}

// What a client can do is what it declared, where its revision has it declared.
func TestParseRequest_D24(t *testing.T) {
	for name, tc := range map[string]struct {
		body     string
		method   string
		revision string
		url      bool
		input    bool
	}{
		"2026-07-28 tool call":      {modern("tools/call", `"name":"x",`), "tools/call", "2026-07-28", true, true},
		"2026-07-28 prompt":         {modern("prompts/get", ``), "prompts/get", "2026-07-28", true, true},
		"2026-07-28 resource":       {modern("resources/read", ``), "resources/read", "2026-07-28", true, true},
		"2026-07-28 list":           {modern("tools/list", ``), "tools/list", "2026-07-28", true, false},
		"2026-07-28 discover":       {modern("server/discover", ``), "server/discover", "2026-07-28", true, false},
		"2026-07-28 subscription":   {modern("subscriptions/listen", ``), "subscriptions/listen", "2026-07-28", true, false},
		"forms only":                {strings.Replace(modern("tools/call", ``), urlCapability, `"elicitation":{}`, 1), "tools/call", "2026-07-28", false, true},
		"url is no object":          {strings.Replace(modern("tools/call", ``), urlCapability, `"elicitation":{"url":true}`, 1), "tools/call", "2026-07-28", false, true},
		"other case":                {strings.Replace(modern("tools/call", ``), urlCapability, `"Elicitation":{"url":{}}`, 1), "tools/call", "2026-07-28", false, true},
		"2025-11-25 initialize":     {`{"jsonrpc":"2.0","id":"a","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{` + urlCapability + `}}}`, "initialize", "2025-11-25", true, false},
		"2025-06-18 initialize":     {`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"elicitation":{}}}}`, "initialize", "2025-06-18", false, false},
		"2025-11-25 tool call":      {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":1}}}`, "tools/call", "", false, false},
		"capabilities of no round":  {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"capabilities":{` + urlCapability + `}}}`, "tools/call", "", false, false},
		"2025-03-26 without params": {`{"jsonrpc":"2.0","id":-1,"method":"tools/list"}`, "tools/list", "", false, false},
		"notification":              {`{"jsonrpc":"2.0","method":"notifications/initialized"}`, "notifications/initialized", "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if r.Method != tc.method || r.Revision != tc.revision || r.URLElicitation != tc.url || r.TakesInput() != tc.input {
				t.Errorf("read %q of %q, url %v, input %v", r.Method, r.Revision, r.URLElicitation, r.TakesInput())
			}
			if r.IsToolCall() != (tc.method == "tools/call") {
				t.Errorf("tool call: %v", r.IsToolCall())
			}
		})
	}
}

// What two readers could read differently is not read at all.
func TestParseRequestRefuses_P20(t *testing.T) {
	for name, body := range map[string]string{
		"batch":                 `[{"jsonrpc":"2.0","id":1,"method":"tools/call"}]`,
		"nothing":               ``,
		"no method":             `{"jsonrpc":"2.0","id":1}`,
		"response":              `{"jsonrpc":"2.0","id":1,"result":{}}`,
		"method twice":          `{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"tools/list"}`,
		"method in other case":  `{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"tools/list"}`,
		"param twice":           `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}`,
		"capability twice":      strings.Replace(modern("tools/call", ``), urlCapability, `"elicitation":{},"Elicitation":{"url":{}}`, 1),
		"params as list":        `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[1]}`,
		"id as object":          `{"jsonrpc":"2.0","id":{},"method":"tools/call"}`,
		"id as list":            `{"jsonrpc":"2.0","id":[1],"method":"tools/call"}`,
		"id too long":           `{"jsonrpc":"2.0","id":"` + strings.Repeat("x", maxIDLen) + `","method":"tools/call"}`,
		"method too long":       `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", maxMethodLen+1) + `"}`,
		"another JSON-RPC":      `{"jsonrpc":"1.0","id":1,"method":"tools/call"}`,
		"two requests":          `{"jsonrpc":"2.0","id":1,"method":"a"}{"jsonrpc":"2.0","id":1,"method":"b"}`,
		"not UTF-8":             "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\xff\"}",
		"larger than the limit": `{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"` + strings.Repeat("x", MaxRequest) + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := ParseRequest([]byte(body)); !errors.Is(err, errRequest) {
				t.Errorf("read as %+v, %v", r, err)
			}
		})
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(modern("tools/call", `"name":"x","arguments":{"a":[1,2.50]},`)))
	f.Add([]byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":null,"method":"a"}`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":"\u0061","method":"tools\/call","params":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err != nil {
			return
		}
		var lax struct {
			ID     json.RawMessage
			Method string
		}
		if json.Unmarshal(body, &lax) != nil {
			return // a member in another case may have another type
		}
		if lax.Method != r.Method {
			t.Fatalf("read %q, others read %q", r.Method, lax.Method)
		}
		written, err := r.body()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseRequest(written)
		if err != nil {
			if len(written) > MaxRequest {
				return // escaping can make it longer
			}
			t.Fatalf("%v: %s", err, written)
		}
		before, _ := r.operation()
		after, _ := again.operation()
		if again.Method != r.Method || !bytes.Equal(before, after) || again.URLElicitation != r.URLElicitation {
			t.Fatalf("%s became %s", body, written)
		}
	})
}
