package mcp

import (
	"encoding/json"
	"net/http"
)

// WriteError answers an MCP request that the gate itself refuses, outside of
// what OAuth has a form for. The JSON-RPC code is the HTTP status: it is
// outside the range that JSON-RPC and MCP reserve. There is no id, because the
// body was not read.
func WriteError(w http.ResponseWriter, status int, message, correlationID string) {
	type rpcError struct {
		Code    int               `json:"code"`
		Message string            `json:"message"`
		Data    map[string]string `json:"data"`
	}
	body, _ := json.Marshal(struct { // cannot fail: strings and an int
		JSONRPC string   `json:"jsonrpc"`
		ID      *int     `json:"id"`
		Error   rpcError `json:"error"`
	}{"2.0", nil, rpcError{status, message, map[string]string{"correlation_id": correlationID}}})
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
