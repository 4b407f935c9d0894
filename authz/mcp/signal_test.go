package mcp

import (
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// The signals as the specification writes them.
func TestSignals(t *testing.T) {
	const url = "https://gw.example/oauth/connect/Zk3"
	for name, tc := range map[string]struct {
		write func(w *httptest.ResponseRecorder)
		want  string
	}{
		"2026-07-28": {
			func(w *httptest.ResponseRecorder) {
				WriteInputRequired(w, parse(t, modern("tools/call", "")), "notion", url, "Connect Notion", "gwc1.x")
			},
			`{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"gw.connect.notion":{"method":"elicitation/create",
			"params":{"mode":"url","url":"` + url + `","message":"Connect Notion"}}},"requestState":"gwc1.x"}}`,
		},
		"tool result": {
			func(w *httptest.ResponseRecorder) {
				WriteToolError(w, parse(t, `{"jsonrpc":"2.0","id":"a","method":"tools/call"}`), "Connect Notion")
			},
			`{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"Connect Notion"}],"isError":true}}`,
		},
		"tool result of 2026-07-28": {
			func(w *httptest.ResponseRecorder) {
				WriteToolError(w, parse(t, modern("tools/call", "")), "Connect Notion")
			},
			`{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[{"type":"text","text":"Connect Notion"}],"isError":true}}`,
		},
		"request of another operation": {
			func(w *httptest.ResponseRecorder) { WriteInvalidState(w, parse(t, modern("tools/call", "")), "c-1") },
			`{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"The requestState was made for another request.","data":{"correlation_id":"c-1"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			tc.write(w)
			var got, want any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			_ = json.Unmarshal([]byte(tc.want), &want)
			if wantStatus := map[bool]int{true: 400, false: 200}[name == "request of another operation"]; w.Code != wantStatus || !reflect.DeepEqual(got, want) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	t.Run("2025-11-25", func(t *testing.T) {
		w := httptest.NewRecorder()
		WriteURLElicitationRequired(w, parse(t, `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`), "e-1", url, "Connect Notion")
		var got struct {
			ID    int
			Error struct {
				Code    int
				Message string
				Data    struct {
					Elicitations []struct{ Mode, ElicitationID, URL, Message string }
				}
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		e := got.Error
		if w.Code != 200 || got.ID != 7 || e.Code != -32042 || len(e.Data.Elicitations) != 1 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if x := e.Data.Elicitations[0]; x.Mode != "url" || x.URL != url || x.ElicitationID == "" || x.Message != "Connect Notion" {
			t.Errorf("%+v", x)
		}
	})
}

// What a client made up as the id of its request comes back as such, and means
// nothing to a template engine on the way.
func TestIDIsInert(t *testing.T) {
	w := httptest.NewRecorder()
	WriteToolError(w, parse(t, `{"jsonrpc":"2.0","id":"{{env \"X\"}} [[x]]","method":"tools/call"}`), "Connect {{x}}")
	var got struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.ID != `{{env "X"}} [[x]]` {
		t.Errorf("%q, %v", got.ID, err)
	}
	if body := w.Body.String(); strings.Contains(body, "{{") || strings.Contains(body, "[[") {
		t.Errorf("a template: %s", body)
	}
}
