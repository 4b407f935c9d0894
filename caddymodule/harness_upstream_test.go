package caddymodule

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// eventStream is an upstream that sends an event at once and then one for each
// value of next, until next is closed. It lists no tools to pages that ask for them.
func eventStream(t *testing.T) (_ *httptest.Server, next chan string) {
	t.Helper()
	next = make(chan string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 0 && strings.Contains(oauthtest.ReadBody(r), `"caddy-mcp-oauth-`) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: open\n\n")
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case data, more := <-next:
				if !more {
					return
				}
				_, _ = io.WriteString(w, "data: "+data+"\n\n")
				_ = http.NewResponseController(w).Flush()
			}
		}
	}))
	t.Cleanup(s.CloseClientConnections)
	return s, next
}

// readEvent reads one event of a stream; at its end it returns the error.
//
// Where none comes and the stream does not end, it fails instead of waiting
// until the test runs out of time.
func readEvent(r io.Reader) (string, error) {
	if c, ok := r.(io.Closer); ok {
		defer time.AfterFunc(oauthtest.Patience, func() { _ = c.Close() }).Stop()
	}
	var got bytes.Buffer
	b := make([]byte, 1)
	for !bytes.HasSuffix(got.Bytes(), []byte("\n\n")) {
		if _, err := r.Read(b); err != nil {
			return got.String(), err
		}
		got.Write(b)
	}
	return strings.TrimSpace(strings.TrimPrefix(got.String(), "data:")), nil
}
