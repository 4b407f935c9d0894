//go:build integration

package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// http2Server is an MCP server that speaks HTTP/2, as those behind https do. What it
// does is in the query.
type http2Server struct {
	over1 atomic.Int64  // requests that came over HTTP/1
	left  chan struct{} // is told when the client of a stream has gone
}

func (s *http2Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 {
		s.over1.Add(1)
	}
	flush := http.NewResponseController(w).Flush
	switch r.URL.Query().Get("do") {
	case "echo":
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"length":%d,"same":%t}`, len(body), len(bytes.Trim(body, "x")) == 0)
	case "megabyte":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(bytes.Repeat([]byte("y"), 1<<20))
	case "events":
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", n)
			_ = flush()
		}
	case "waiting":
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: first\n\n")
		_ = flush()
		<-r.Context().Done()
		s.left <- struct{}{}
	case "trailers":
		w.Header().Set("Trailer", "X-Late")
		fmt.Fprint(w, "before")
		w.Header().Set("X-Late", "after")
	case "hints":
		w.Header().Set("Link", "</a>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "hinted")
	case "reset":
		fmt.Fprint(w, "half")
		_ = flush()
		panic(http.ErrAbortHandler)
	case "reset at once":
		panic(http.ErrAbortHandler)
	case "nothing":
		w.WriteHeader(http.StatusAccepted)
	case "unread":
		w.WriteHeader(http.StatusTeapot) // the body is left
	case "huge header":
		w.Header().Set("X-Huge", strings.Repeat("h", 12<<20))
	}
}

// seen is what the client of a call gets.
func seen(t *testing.T, g *harness.Gateway, path, token, do string, length int) string {
	t.Helper()
	var hints []int
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		hints = append(hints, code)
		return nil
	}})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+path+"?do="+strings.ReplaceAll(do, " ", "+"), strings.NewReader(strings.Repeat("x", length)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "error"
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode >= 500 { // with a reference that is another each time
		body = nil
	}
	return fmt.Sprintf("%v %d %s %d of %d %.60q cut=%v trailers=%v", hints, res.StatusCode, res.Header.Get("Content-Type"), len(body), res.ContentLength, body, errors.Is(err, io.ErrUnexpectedEOF), res.Trailer)
}

// Calls go to an MCP server over HTTP/2 where it speaks that, and look the same whether
// this module forwards them by itself or Caddy's reverse_proxy does.
func TestForwardersAgreeOverHTTP2(t *testing.T) {
	up := &http2Server{left: make(chan struct{}, 1)}
	server := httptest.NewUnstartedServer(up)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	certificate := filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	g := harness.Run(t, harness.Config{
		Directives: identities + "server own /own " + server.URL + "\nserver theirs /theirs " + server.URL + " {\nproxy {\n}\n}",
		Env:        append([]string{"SSL_CERT_FILE=" + certificate}, keys...),
	})
	tokens := map[string]string{}
	for _, path := range []string{"/own", "/theirs"} {
		tokens[path] = g.SignIn(t, alice, path).AccessToken
	}
	for do, want := range map[string]struct {
		length int
		answer string
	}{
		"echo":          {1 << 20, `[] 200 application/json 30 of 30 "{\"length\":1048576,\"same\":true}" cut=false trailers=map[]`},
		"megabyte":      {10, `[] 200 application/json 1048576 of -1 "` + strings.Repeat("y", 60) + `" cut=false trailers=map[]`},
		"events":        {10, `[] 200 text/event-stream 27 of -1 "data: 0\n\ndata: 1\n\ndata: 2\n\n" cut=false trailers=map[]`},
		"trailers":      {10, `[] 200 text/plain; charset=utf-8 6 of 6 "before" cut=false trailers=map[]`},
		"hints":         {10, `[103] 200 text/plain; charset=utf-8 6 of 6 "hinted" cut=false trailers=map[]`},
		"reset":         {10, `[] 200 text/plain; charset=utf-8 4 of -1 "half" cut=true trailers=map[]`},
		"reset at once": {10, `[] 502 application/json 0 of `},
		"nothing":       {10, `[] 202  0 of 0 "" cut=false trailers=map[]`},
		"unread":        {1 << 16, `[] 418  0 of 0 "" cut=false trailers=map[]`},
		"huge header":   {10, `[] 502 application/json 0 of `},
	} {
		t.Run(do, func(t *testing.T) {
			for path, token := range tokens {
				if got := seen(t, g, path, token, do, want.length); !strings.HasPrefix(got, want.answer) {
					t.Errorf("%s: got  %s\nwant %s", path, got, want.answer)
				}
			}
		})
	}

	t.Run("a client that leaves", func(t *testing.T) {
		for path, token := range tokens {
			ctx, leave := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL+path+"?do=waiting", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Accept", "text/event-stream")
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(res.Body).ReadString('\n'); line != "data: first\n" {
				t.Errorf("%s: got %q, %v, want the first event while the stream is open", path, line, err)
			}
			leave()
			_ = res.Body.Close()
			select {
			case <-up.left:
			case <-time.After(10 * time.Second):
				t.Errorf("%s: the server never heard that the client left", path)
			}
		}
	})
	if n := up.over1.Load(); n > 0 {
		t.Errorf("%d requests came over HTTP/1, want none", n)
	}
}
