package caddymodule

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// writes is an MCP server that answers each request by what it likes to write. taken is
// how many bytes of that were, open how many connections there are.
func writes(t *testing.T, answer func(conn io.Writer, asked int)) (url string, taken, open *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	listener = oauthtest.Closing(t, listener, err)
	taken, open = new(atomic.Int64), new(atomic.Int64)
	asked := new(atomic.Int64)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Add(1)
			go func() {
				defer open.Add(-1)
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					answer(io.MultiWriter(conn, counting(func(n int) { taken.Add(int64(n)) })), int(asked.Add(1)))
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String(), taken, open
}

// What is no answer is a 502, with a line in the log and nothing of it for the client,
// and takes no more memory than an answer may.
func TestServersThatAnswerNothing(t *testing.T) {
	const most = 32 << 20 // of headers: Go's transport takes 10 MB, and some are on their way
	header := "X-Header: " + strings.Repeat("canary ", 1000) + "\r\n"
	for name, answer := range map[string]func(io.Writer){
		"12 MB of headers": func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\n"+strings.Repeat(header, 12<<20/len(header))+"Content-Length: 0\r\n\r\n")
		},
		"endless headers": func(w io.Writer) {
			_, err := io.WriteString(w, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(w, header)
			}
		},
		"an endless line": func(w io.Writer) {
			_, err := io.WriteString(w, "HTTP/1.1 200 OK\r\nX-Header: ")
			for err == nil {
				_, err = io.WriteString(w, header[:1000])
			}
		},
		"another protocol":          func(w io.Writer) { _, _ = io.WriteString(w, upgraded+"canary") },
		"another protocol, unnamed": func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 101 Switching Protocols\r\n\r\ncanary") },
		"a status below all":        func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 050 Canary\r\nContent-Length: 0\r\n\r\n") },
		"garbage":                   func(w io.Writer) { _, _ = io.WriteString(w, "canary\r\n\r\n") },
		"two lengths": func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 6\r\n\r\ncanary")
		},
		"an encoding that is unknown": func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: canary\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			url, taken, open := writes(t, func(w io.Writer, _ int) { answer(w) })
			g := newGateway(t, alice+"server a /mcp "+url)
			for range 2 { // of which none spoils the next
				taken.Store(0)
				if body := status(t, g.call("POST", "/mcp", initialize), http.StatusBadGateway); strings.Contains(body, "anary") || !strings.Contains(body, "correlation_id") {
					t.Errorf("got %s, want no more than a reference", body)
				}
				if n := taken.Load(); n > most {
					t.Errorf("%d bytes were taken, want %d at most", n, most)
				}
			}
			if n := g.logged(`"event":"server.unreachable"`); n != 2 {
				t.Errorf("%d lines in the log, want one for each call", n)
			}
			oauthtest.Eventually(t, "connections are left", func() bool { return open.Load() == 0 })
		})
	}
}

const upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// Whatever a server writes behind its answer, or instead of the end of it, is nobody
// else's answer.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	const other = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n\"canary\""
	for name, answer := range map[string]string{
		"behind a length":         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + other,
		"behind chunks":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + other,
		"behind no content":       "HTTP/1.1 204 No Content\r\n\r\n" + other,
		"behind another length":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 500\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + other,
		"in place of a chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" + other,
		"behind another protocol": upgraded + other,
	} {
		t.Run(name, func(t *testing.T) {
			url, _, _ := writes(t, func(w io.Writer, asked int) {
				text := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d", len(fmt.Sprint(asked)), asked)
				if asked%2 == 1 {
					text = answer
				}
				_, _ = io.WriteString(w, text)
			})
			g := newGateway(t, alice+"server a /mcp "+url)
			var callers sync.WaitGroup
			for range 8 { // who take connections from each other at once
				callers.Go(func() {
					for range 40 {
						if body := g.answerTo(initialize); strings.Contains(body, "canary") {
							t.Errorf("got %q", body)
						}
					}
				})
			}
			callers.Wait()
		})
	}
}

// answerTo returns what of an answer there is, which may be cut.
func (g *instance) answerTo(body string) string {
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url+"/mcp", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Authorization", "Bearer "+aliceKey)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return string(text)
}

// Caddy's access log has of a call what it has of any request, also where there was no
// answer, or not all of it.
func TestAccessLogOfCalls(t *testing.T) {
	asked, leave := make(chan bool, 1), make(chan bool)
	up := oauthtest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Mcp-Case") {
		case "whole":
			_, _ = io.WriteString(w, "0123456789")
		case "cut":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "0123")
		case "unanswered":
			panic(http.ErrAbortHandler)
		case "abandoned":
			asked <- true
			<-leave
		}
	})
	defer close(leave)
	lines := alice + "server a /mcp " + up.URL
	g := newGateway(t, lines)
	access := filepath.Join(g.dir, "access.log")
	g.load(strings.Replace(g.caddyfile(lines), "bind 127.0.0.1", "bind 127.0.0.1\nlog {\noutput file "+access+"\n}", 1))
	for _, test := range []struct {
		name         string
		status, size int
	}{{"whole", 200, 10}, {"cut", 200, 4}, {"unanswered", 502, -1}, {"abandoned", 499, 0}} {
		if test.name == "abandoned" {
			conn, err := net.Dial("tcp", g.addr)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = fmt.Fprintf(conn, "GET /mcp HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nMcp-Case: abandoned\r\n\r\n", g.addr, aliceKey)
			<-asked
			_ = conn.Close()
		} else {
			res := g.call("POST", "/mcp", initialize, "Mcp-Case", test.name)
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		var line loggedCall
		oauthtest.Eventually(t, "the access log has no line about the call "+test.name, func() bool { return line.find(t, access, test.name) })
		timed := line.Duration > 0 || test.name == "cut" // of which Caddy does not know it, as with reverse_proxy
		if line.Status != test.status || line.Size != test.size && test.size >= 0 || !timed || line.Server != "a" {
			t.Errorf("%s: got %+v, want status %d, size %d, some duration, and the server", test.name, line, test.status, test.size)
		}
	}
}

// loggedCall is what the access log says of a call.
type loggedCall struct {
	Status   int     `json:"status"`
	Size     int     `json:"size"`
	Duration float64 `json:"duration"`
	Server   string  `json:"mcp_server"`
	Request  struct {
		Headers http.Header `json:"headers"`
	} `json:"request"`
}

// find finds the line of a call in the access log.
func (l *loggedCall) find(t *testing.T, access, name string) bool {
	t.Helper()
	text, err := os.ReadFile(access)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		*l = loggedCall{}
		if json.Unmarshal([]byte(line), l) == nil && l.Request.Headers.Get("Mcp-Case") == name {
			return true
		}
	}
	return false
}
