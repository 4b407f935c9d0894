package mcp

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
)

func TestHasSessions_P10(t *testing.T) {
	for version, want := range map[string]bool{
		"": true, "2025-03-26": true, "2025-06-18": true, "2025-11-25": true,
		"2026-07-28": false, "2027-01-01": false,
	} {
		if HasSessions(version) != want {
			t.Errorf("HasSessions(%q) = %v", version, !want)
		}
	}
}

// Codes of our own lie outside what JSON-RPC reserves.
func TestWriteError_P16(t *testing.T) {
	w := httptest.NewRecorder()
	WriteError(w, 404, "No such session.", "c-1")
	var got struct {
		JSONRPC string
		ID      any
		Error   struct {
			Code    int
			Message string
			Data    map[string]string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if w.Code != 404 || got.JSONRPC != "2.0" || got.ID != nil || got.Error.Message != "No such session." ||
		got.Error.Data["correlation_id"] != "c-1" {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	if got.Error.Code >= -32768 && got.Error.Code <= -32000 {
		t.Errorf("reserved code %d", got.Error.Code)
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", w.Header())
	}
}
