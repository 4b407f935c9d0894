package mcp

import (
	"strings"
	"testing"
)

func TestPeek(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want Peek
	}{
		"tool call":           {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{"name":"no"}}}`, Peek{Method: "tools/call", Name: "search"}},
		"name after the rest": {`{"params":{"arguments":{"a":[{"name":"x"}],"b":"}{"},"name":"a\"b"},"method":"tools/call"}`, Peek{Method: "tools/call", Name: `a"b`}},
		"the usual order":     {`{"method":"tools/call","params":{"arguments":{"a":[{"name":"x"}],"b":"}{\\"},"name":"a\"b"}}`, Peek{Method: "tools/call", Name: `a"b`}},
		"result":              {`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"\"error\":{"}],"isError":false}}`, Peek{Answer: "result"}},
		"tool failed":         {`{"id":1,"result":{"isError": true ,"content":[]}}`, Peek{Answer: "result", ToolFailed: true}},
		"deeper isError":      {`{"id":1,"result":{"structuredContent":{"isError":true}}}`, Peek{Answer: "result"}},
		"error":               {`{"id":1,"error":{"code":-32602,"message":"no \"result\""}}`, Peek{Answer: "error", Code: -32602}},
		"error is null":       {`{"id":1,"error":null,"result":{}}`, Peek{Answer: "result"}},
		"plain result":        {`{"id":1,"result":true}`, Peek{Answer: "result"}},
		"batch":               {`[{"id":1,"result":{}},{"id":2,"error":{"code":5}}]`, Peek{Answer: "error", Code: 5}},
		"nothing":             {``, Peek{}},
		"no JSON":             {`<html>]]}}"result":{}`, Peek{}},
	} {
		t.Run(name, func(t *testing.T) {
			for size := 1; size < 40; size += 13 {
				var p Peek
				for text := tt.text; text != ""; text = text[min(size, len(text)):] {
					_, _ = p.Write([]byte(text[:min(size, len(text))]))
				}
				if got := found(p); got != found(tt.want) {
					t.Errorf("in pieces of %d: got %+v, want %+v", size, got, found(tt.want))
				}
			}
		})
	}
}

type peeked struct {
	method, name, answer string
	code                 int
	failed               bool
}

func found(p Peek) peeked { return peeked{p.Method, p.Name, p.Answer, p.Code, p.ToolFailed} }

// The last message of a stream is its response; those before may be anything.
func TestPeekEvents(t *testing.T) {
	const stream = ": ping\n\nevent: message\r\ndata: {\"method\":\"notifications/progress\",\r\ndata: \"params\":{}}\r\n\r\n" +
		"data: {\"id\":1, broken\n\nid: 7\ndata:{\"id\":1,\"result\":{\"isError\":true}}\n\n"
	for size := 1; size < 20; size += 6 {
		var p Peek
		for text := stream; text != ""; text = text[min(size, len(text)):] {
			p.WriteEvents([]byte(text[:min(size, len(text))]))
		}
		if want := (peeked{"", "", "result", 0, true}); found(p) != want {
			t.Errorf("in pieces of %d: got %+v, want %+v", size, found(p), want)
		}
	}
}

func FuzzPeek(f *testing.F) {
	f.Add(`{"method":"tools/call","params":{"name":"x"}}`)
	f.Add(strings.Repeat("[", 300) + strings.Repeat("]", 400) + `{"result":{}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var p Peek
		_, _ = p.Write([]byte(text))
		p.WriteEvents([]byte(text))
		if len(p.Method) > 3*maxPeekText || len(p.Name) > 3*maxPeekText {
			t.Errorf("keeps %d and %d bytes", len(p.Method), len(p.Name))
		}
	})
}
