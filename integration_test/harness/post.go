package harness

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Response is an answer, read.
type Response struct {
	*http.Response
	Text string
}

// Post sends an MCP message through the gateway, as it is.
func (g *Gateway) Post(t testing.TB, path, token, message string) Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+path, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	resp, err := g.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Response{resp, string(text)}
}
