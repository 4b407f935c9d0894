package doctor

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
)

// endless is an answer of which always more comes.
type endless struct {
	text string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[e.read%len(e.text)]
		e.read++
	}
	return len(p), nil
}

func (e *endless) Close() error { return nil }

// RoundTrip answers any request so.
func (e *endless) RoundTrip(r *http.Request) (*http.Response, error) {
	media := "application/json"
	if strings.HasPrefix(e.text, ":") {
		media = mcp.EventStream
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {media}}, Body: e, Request: r}, nil
}

// Of what has no end, no more is kept than the largest answer, whether it is read as a
// whole or for its first event.
func TestEndlessAnswer(t *testing.T) {
	for name, text := range map[string]string{"document": `{"a":`, "events without data": ": \n\n", "data without an end": ":\ndata: x\n"} {
		for _, stream := range []bool{false, true} {
			body := &endless{text: text}
			w := newWire(&Options{})
			w.http.Transport = body
			a := w.do(t.Context(), request{method: http.MethodGet, url: "https://mcp.example/mcp", stream: stream})
			if a.err != nil || len(a.body) < maxBody || len(a.body) > maxBody+4096 || body.read > maxBody+4096 {
				t.Errorf("%s, stream %t: %d bytes are kept of %d that were read, error %v; want %d", name, stream, len(a.body), body.read, a.err, maxBody)
			}
		}
	}
}
