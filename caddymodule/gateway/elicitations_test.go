package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway/openlinks"
)

// Memory stays bounded, and the latest are not those that are forgotten.
func TestElicitationsAreBounded(t *testing.T) {
	o, now := NewElicitations(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := openlinks.Client{Issuer: "i", GrantID: "g", Server: "s"}
	link := func(i int) string { return fmt.Sprint("https://h/", i) }
	const all = 2 * maxElicitations
	for i := range all {
		o.await(link(i), mcpSession{c, "m"}, nil, now.Add(time.Duration(i)*time.Millisecond))
	}
	if len(o.waiting) > maxElicitations {
		t.Errorf("%d are remembered, want at most %d", len(o.waiting), maxElicitations)
	}
	if _, known := o.waiting[elicitationID(link(all-1))]; !known {
		t.Error("the latest was forgotten")
	}
}

// flushRecorder tells what was written since the last flush.
type flushRecorder struct {
	*httptest.ResponseRecorder
	flushed string
}

func (r *flushRecorder) FlushError() error {
	r.flushed = r.Body.String()
	return nil
}

// An event of ours is never put into one of the upstream's.
func TestInsertBetweenEvents(t *testing.T) {
	const ours = "event: message\ndata: ours\n\n"
	upstream := ": hello\n\nid: 1\ndata: one\ndata: more\n\nid: 2\r\ndata: two\r\n\r\n"
	for at := range len(upstream) + 1 {
		for _, size := range []int{1, 7, len(upstream)} {
			o, w := NewElicitations(), &flushRecorder{ResponseRecorder: httptest.NewRecorder()}
			s := &sessionStream{ResponseWriter: w, elicitations: o, standalone: true}
			s.Header().Set("Content-Type", "text/event-stream")
			s.WriteHeader(http.StatusOK)
			write := func(part string) {
				for part != "" {
					n := min(size, len(part))
					if got, err := s.Write([]byte(part[:n])); got != n || err != nil {
						t.Fatalf("wrote %d, %v, want %d", got, err, n)
					}
					part = part[n:]
				}
			}
			write(upstream[:at])
			s.insert([]byte(ours))
			atOnce := w.flushed != ""
			write(upstream[at:])
			s.close()
			s.insert([]byte("late"))
			got := w.Body.String()
			before, after, found := strings.Cut(got, ours)
			if !found || before+after != upstream {
				t.Fatalf("at %d: %q", at, got)
			}
			var e mcp.Events
			if e.Skip([]byte(before)); !e.Between() {
				t.Errorf("at %d: within an event, after %q", at, before)
			}
			e = mcp.Events{}
			if e.Skip([]byte(upstream[:at])); atOnce != e.Between() {
				t.Errorf("at %d: at once = %v, want %v", at, atOnce, e.Between())
			}
			if len(o.streams) != 0 {
				t.Error("the stream is still known")
			}
		}
	}
}

// Nothing is put into what is no plain event stream.
func TestInsertOnlyIntoStreams(t *testing.T) {
	for name, arrange := range map[string]func(h http.Header) (status int){
		"JSON":     func(h http.Header) int { h.Set("Content-Type", "application/json"); return 200 },
		"an error": func(h http.Header) int { h.Set("Content-Type", "text/event-stream"); return 500 },
		"compressed": func(h http.Header) int {
			h.Set("Content-Type", "text/event-stream")
			h.Set("Content-Encoding", "gzip")
			return 200
		},
		"of one length": func(h http.Header) int {
			h.Set("Content-Type", "text/event-stream")
			h.Set("Content-Length", "9")
			return 200
		},
	} {
		o, w := NewElicitations(), httptest.NewRecorder()
		s := &sessionStream{ResponseWriter: w, elicitations: o}
		s.WriteHeader(arrange(s.Header()))
		s.insert([]byte("ours"))
		if _, err := s.Write([]byte("theirs")); err != nil || w.Body.String() != "theirs" || len(o.streams) != 0 {
			t.Errorf("%s: wrote %q, %v", name, w.Body, err)
		}
		s.close()
	}
}
