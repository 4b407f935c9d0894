package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
)

func TestElicitationsEnd(t *testing.T) {
	o, now := NewElicitations(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := elicited{"i", "g", "s"}
	if o.isOpen(c, now) {
		t.Error("open before anybody was asked")
	}
	o.begin(c, now)
	o.begin(c, now.Add(server.ConnectLinkLifetime-time.Second)) // prolongs nothing
	if !o.isOpen(c, now.Add(server.ConnectLinkLifetime-time.Second)) || o.isOpen(c, now.Add(server.ConnectLinkLifetime)) {
		t.Error("not open for the life of the first link")
	}
	for _, other := range []elicited{{"j", "g", "s"}, {"i", "h", "s"}, {"i", "g", "t"}} {
		if o.isOpen(other, now) {
			t.Errorf("open for %v", other)
		}
	}
	for i := range 2 * maxElicitations {
		at := now.Add(time.Duration(i) * time.Millisecond)
		o.begin(elicited{"i", fmt.Sprint(i), "s"}, at)
		o.await(fmt.Sprint("https://h/", i), mcpSession{c, "m"}, nil, at)
	}
	if len(o.begun) > maxElicitations || len(o.waiting) > maxElicitations {
		t.Errorf("%d and %d are remembered, want at most %d", len(o.begun), len(o.waiting), maxElicitations)
	}
	if last := (elicited{"i", fmt.Sprint(2*maxElicitations - 1), "s"}); !o.isOpen(last, now.Add(time.Minute)) {
		t.Error("the latest was forgotten")
	}
}

// The first link that a client is given is told to other processes, once, and is open
// there, too. Virtual keys have no grant that could end meanwhile.
func TestBegunIsTold(t *testing.T) {
	here, there, now := NewElicitations(), NewElicitations(), time.Now()
	told := 0
	tell := func(m Message) {
		told++
		text, err := json.Marshal(m)
		var arrived Message
		if err == nil {
			err = json.Unmarshal(text, &arrived)
		}
		if err != nil {
			t.Fatal(err)
		}
		there.Told(arrived)
	}
	here.Tell.Store(&tell)
	c := elicited{"i", "g", "s"}
	for range 3 {
		here.begin(c, now)
		here.begin(elicited{"i", "", "s"}, now)
	}
	if told != 1 || !there.isOpen(c, now) || there.isOpen(elicited{"i", "h", "s"}, now) {
		t.Errorf("told %d times, and open there: %v", told, there.isOpen(c, now))
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
