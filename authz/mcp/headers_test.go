package mcp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestMatchesHeaders_P2(t *testing.T) {
	const modern, legacy = "2026-07-28", "2025-11-25"
	body := func(method, params string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":{%s}}`, method, params)
	}
	meta := func(version string) string { return `"_meta":{"` + metaVersion + `":"` + version + `"}` }
	call := body("tools/call", `"name":"whoami"`)
	for name, tt := range map[string]struct {
		body    string
		headers []string // name, value, …
		want    bool
	}{
		"same":                       {call, []string{HeaderProtocolVersion, modern, headerMethod, "tools/call", headerName, "whoami"}, true},
		"same revision":              {body("tools/call", `"name":"a",`+meta(modern)), []string{HeaderProtocolVersion, modern, headerMethod, "tools/call", headerName, "a"}, true},
		"encoded":                    {body("tools/call", `"name":"wer bin ich?ü"`), []string{HeaderProtocolVersion, modern, headerMethod, "tools/call", headerName, "=?base64?d2VyIGJpbiBpY2g/w7w=?="}, true},
		"encoded, other":             {call, []string{HeaderProtocolVersion, modern, headerMethod, "tools/call", headerName, "=?base64?d2VyIGJpbiBpY2g/w7w=?="}, false},
		"only looks encoded":         {body("tools/call", `"name":"=?base64?%?="`), []string{HeaderProtocolVersion, modern, headerMethod, "tools/call", headerName, "=?base64?%?="}, true},
		"uri":                        {body("resources/read", `"uri":"file:///a"`), []string{HeaderProtocolVersion, modern, headerMethod, "resources/read", headerName, "file:///a"}, true},
		"uri, other":                 {body("resources/read", `"uri":"file:///a"`), []string{HeaderProtocolVersion, modern, headerMethod, "resources/read", headerName, "file:///b"}, false},
		"prompt, other":              {body("prompts/get", `"name":"a"`), []string{HeaderProtocolVersion, modern, headerMethod, "prompts/get", headerName, "b"}, false},
		"task":                       {body("tasks/get", `"taskId":"7"`), []string{HeaderProtocolVersion, modern, headerMethod, "tasks/get", headerName, "7"}, true},
		"no name to repeat":          {body("tools/list", ``), []string{HeaderProtocolVersion, modern, headerMethod, "tools/list"}, true},
		"other method":               {call, []string{HeaderProtocolVersion, modern, headerMethod, "tools/list", headerName, "whoami"}, false},
		"other case":                 {call, []string{HeaderProtocolVersion, modern, headerMethod, "Tools/call", headerName, "whoami"}, false},
		"other name":                 {call, []string{HeaderProtocolVersion, modern, headerMethod, "tools/call", headerName, "delete"}, false},
		"no method":                  {call, []string{HeaderProtocolVersion, modern, headerName, "whoami"}, false},
		"no name":                    {call, []string{HeaderProtocolVersion, modern, headerMethod, "tools/call"}, false},
		"method twice":               {call, []string{HeaderProtocolVersion, modern, headerMethod, "tools/call", headerMethod, "tools/call", headerName, "whoami"}, false},
		"name twice":                 {call, []string{HeaderProtocolVersion, modern, headerMethod, "tools/call", headerName, "whoami", headerName, "delete"}, false},
		"name is no text":            {body("tools/call", `"name":["whoami"]`), []string{HeaderProtocolVersion, modern, headerMethod, "tools/call", headerName, "whoami"}, false},
		"other revision":             {body("tools/list", meta("2027-01-01")), []string{HeaderProtocolVersion, modern, headerMethod, "tools/list"}, false},
		"no revision":                {body("tools/list", meta(modern)), []string{headerMethod, "tools/list"}, false},
		"earlier revision":           {body("tools/list", meta(modern)), []string{HeaderProtocolVersion, legacy, headerMethod, "tools/list"}, false},
		"earlier revision in body":   {body("tools/list", meta(legacy)), []string{HeaderProtocolVersion, modern, headerMethod, "tools/list"}, false},
		"2025-11-25":                 {call, []string{HeaderProtocolVersion, legacy}, true},
		"2025-03-26":                 {call, nil, true},
		"initialize":                 {body("initialize", `"protocolVersion":"2026-07-28"`), nil, true},
		"notification":               {`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, []string{HeaderProtocolVersion, modern}, true},
		"notification, other name":   {`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}`, []string{HeaderProtocolVersion, modern, headerMethod, "tools/call", headerName, "b"}, false},
		"notification, other method": {`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, []string{HeaderProtocolVersion, modern, headerMethod, "tools/call"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRequest([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			for i := 0; i < len(tt.headers); i += 2 {
				h.Add(tt.headers[i], tt.headers[i+1])
			}
			if got := r.MatchesHeaders(h); got != tt.want {
				t.Errorf("%v with %v: %v", tt.body, h, got)
			}
			all, err := Scan([]byte(tt.body)) // which says the same, of what it reads at all
			if err == nil && all[0].MatchesHeaders(h) != tt.want {
				t.Errorf("%v with %v, once scanned: %v", tt.body, h, !tt.want)
			}
		})
	}
}

func TestWriteHeaderMismatch_P16(t *testing.T) {
	r, err := ParseRequest([]byte(`{"jsonrpc":"2.0","id":"x","method":"tools/list"}`))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	WriteHeaderMismatch(w, r, "c1")
	var got struct {
		ID    string
		Error rpcError
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusBadRequest || got.ID != "x" || got.Error.Code != -32020 || got.Error.Data["correlation_id"] != "c1" {
		t.Errorf("%d %s %v", w.Code, w.Body, err)
	}
}
