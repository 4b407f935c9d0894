package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// hint tells the client side of a request of a 1xx response, as a transport does.
func hint(r *http.Request) {
	_ = httptrace.ContextClientTrace(r.Context()).Got1xxResponse(http.StatusEarlyHints, map[string][]string{"Link": {"</a>"}})
}

// statuses is a client's side that remembers which were written.
type statuses struct {
	http.ResponseWriter
	written []int
}

func (s *statuses) WriteHeader(status int) {
	s.written = append(s.written, status)
	s.ResponseWriter.WriteHeader(status)
}

// A transport that was given up may still hear of a 1xx response; the client is another's
// by then.
func TestLateInformational(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want []int
	}{
		"answered": {nil, []int{103, 200}},
		"given up": {io.ErrUnexpectedEOF, []int{103}},
	} {
		var sent *http.Request
		w := &statuses{ResponseWriter: httptest.NewRecorder()}
		_ = new(Relay).Serve(w, httptest.NewRequest("GET", "/", nil), &to{RoundTripper: roundTrip(func(r *http.Request) (*http.Response, error) {
			hint(r)
			sent = r
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, test.err
		})}, false)
		hint(sent)
		if !slices.Equal(w.written, test.want) || w.Header().Get("Link") != "" {
			t.Errorf("%s: got statuses %v, header %v; want %v, and no more of the hint", name, w.written, w.Header(), test.want)
		}
	}
}

// A client that holds its body back is told to continue, and of nothing else meanwhile:
// Go's server would write both at once.
func TestInformationalWhileTheClientWaits(t *testing.T) {
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = new(Relay).Serve(w, r, &to{RoundTripper: roundTrip(func(r *http.Request) (*http.Response, error) {
			hint(r)
			body, err := io.ReadAll(r.Body)
			hint(r)
			res := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}
			res.Header.Set("X-Body", string(body))
			return res, err
		})}, false)
	}))
	t.Cleanup(front.Close)
	dialed, err := net.Dial("tcp", front.Listener.Addr().String())
	conn := oauthtest.Closing(t, dialed, err)
	_, _ = fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	r := bufio.NewReader(conn)
	for _, want := range []int{100, 103, 200} {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != want || want == 200 && res.Header.Get("X-Body") != "{}" {
			t.Fatalf("got %d, %v, want %d", res.StatusCode, res.Header, want)
		}
		if want == 100 {
			_, _ = io.WriteString(conn, "{}")
		}
	}
}
