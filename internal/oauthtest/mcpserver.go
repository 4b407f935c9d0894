package oauthtest

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// ReadBody returns the body of a request, and leaves it to be read again by
// another page.
func ReadBody(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return string(body)
}

// StatelessServer is the page of an MCP server without sessions: it answers
// server/discover only.
func StatelessServer(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(ReadBody(r), `"server/discover"`) || r.Header.Get("Mcp-Method") != "server/discover" || r.Header.Get("Mcp-Protocol-Version") != "2026-07-28" {
		Answer(http.StatusBadRequest, "application/json", `{"jsonrpc":"2.0","id":1,"error":{"code":-32020}}`)(w, r)
		return
	}
	Answer(http.StatusOK, "application/json", `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}`)(w, r)
}

// SessionServer is the page of an MCP server with sessions: it answers
// initialize only, as an event stream.
func SessionServer(w http.ResponseWriter, r *http.Request) {
	switch body := ReadBody(r); {
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case strings.Contains(body, `"initialize"`):
		w.Header().Set("Mcp-Session-Id", "s1")
		Answer(http.StatusOK, "text/event-stream", ": hello\nid: 1\ndata:\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{}}\n\n")(w, r)
	default:
		Answer(http.StatusBadRequest, "text/plain", "no session")(w, r)
	}
}
