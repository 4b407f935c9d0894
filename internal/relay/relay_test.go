package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// to is the way to a server at an address.
type to struct {
	http.RoundTripper
	scheme, address string
	more            http.Header
	again           bool // a second attempt is what counts
}

func (s *to) Send(x *Exchange) (*http.Response, error) {
	attempts := 1
	if s.again {
		attempts = 2
	}
	for ; ; attempts-- {
		out := x.NewRequest(len(s.more))
		out.URL.Scheme, out.URL.Host = s.scheme, s.address
		for name, values := range s.more {
			out.Header[name] = values
		}
		s.more = nil // of the first
		res, err := s.RoundTrip(out)
		if attempts == 1 || err != nil {
			return res, err
		}
		_ = res.Body.Close()
	}
}

func (s *to) Informational(h http.Header) { delete(h, "Set-Cookie") }

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// watched is a body that knows whether it was closed.
type watched struct {
	io.Reader
	closed bool
}

func (w *watched) Close() error { w.closed = true; return nil }

func answering(status int, body io.ReadCloser) *to {
	return &to{RoundTripper: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: body, ContentLength: -1, Request: r}, nil
	})}
}

// panicking is the client's side with a handler around us that panics.
type panicking struct{ *httptest.ResponseRecorder }

func (panicking) Write([]byte) (int, error) { panic("a handler around us") }

// Whatever happens on the client's side, the connection to the server does not stay open.
func TestPanicClosesTheAnswer(t *testing.T) {
	body := &watched{Reader: strings.NewReader("answer")}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic got lost")
			}
		}()
		_ = new(Relay).Serve(panicking{httptest.NewRecorder()}, httptest.NewRequest("GET", "/", nil), answering(200, body), false)
	}()
	if !body.closed {
		t.Error("the answer of the server is still open")
	}
}

// What ends no request is no answer.
func TestNoFinalStatus(t *testing.T) {
	for _, status := range []int{0, 50, 99, 101} {
		body := &watched{Reader: strings.NewReader("")}
		w := httptest.NewRecorder()
		err := new(Relay).Serve(w, httptest.NewRequest("GET", "/", nil), answering(status, body), false)
		if !errors.Is(err, ErrNoFinalStatus) || !body.closed || len(w.Header()) > 0 {
			t.Errorf("%d: got %v, closed %v, header %v; want %v, closed, none", status, err, body.closed, w.Header(), ErrNoFinalStatus)
		}
	}
}

// An answer that breaks off is told apart from one that never came.
func TestBroken(t *testing.T) {
	w := httptest.NewRecorder()
	torn := io.NopCloser(io.MultiReader(strings.NewReader("some"), &failing{}))
	err := new(Relay).Serve(w, httptest.NewRequest("GET", "/", nil), answering(200, torn), false)
	var broken *Broken
	if !errors.As(err, &broken) || !errors.Is(err, io.ErrUnexpectedEOF) || w.Body.String() != "some" || !w.Flushed {
		t.Errorf("got %v, %q, flushed %v; want a Broken, all that there is, flushed", err, w.Body, w.Flushed)
	}
	err = new(Relay).Serve(w, httptest.NewRequest("GET", "/", nil), &to{RoundTripper: roundTrip(func(*http.Request) (*http.Response, error) {
		return nil, io.ErrUnexpectedEOF
	})}, false)
	if errors.As(err, &broken) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want the error of the round trip", err)
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Who cannot be reached gets no body, and nobody waits for the client to send it.
func TestUnreadBodyStaysOpen(t *testing.T) {
	for name, read := range map[string]bool{"unread": false, "read": true} {
		body := &watched{Reader: strings.NewReader("request")}
		r := httptest.NewRequest("POST", "/", body)
		r.ContentLength = 7
		_ = new(Relay).Serve(httptest.NewRecorder(), r, &to{RoundTripper: roundTrip(func(out *http.Request) (*http.Response, error) {
			if read {
				_, _ = io.ReadAll(out.Body)
			}
			_ = out.Body.Close()
			return nil, io.ErrUnexpectedEOF
		})}, false)
		if body.closed != read {
			t.Errorf("%s: closed %v, want %v", name, body.closed, read)
		}
	}
}

// Each attempt has a request as the client sent it.
func TestAttemptsAreAlike(t *testing.T) {
	var sent []string
	server := &to{again: true, more: http.Header{"Authorization": {"first"}}, RoundTripper: roundTrip(func(r *http.Request) (*http.Response, error) {
		var b bytes.Buffer
		_ = r.Header.Write(&b)
		sent = append(sent, b.String())
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Sent", "1")
	if err := new(Relay).Serve(httptest.NewRecorder(), r, server, false); err != nil {
		t.Fatal(err)
	}
	if len(sent) != 2 || sent[0] != "Authorization: first\r\n"+sent[1] || len(r.Header) != 1 {
		t.Errorf("sent %q, the client's request has %v", sent, r.Header)
	}
}

// What is said of the client, which may come by a Unix socket.
func TestForwarded(t *testing.T) {
	prior := http.Header{"X-Forwarded-For": {"203.0.113.1", "203.0.113.2"}, "X-Forwarded-Proto": {"http", "https"}, "X-Forwarded-Host": {"a", "b"}}
	omitted := http.Header{"X-Forwarded-For": nil, "X-Forwarded-Proto": nil, "X-Forwarded-Host": nil}
	for name, test := range map[string]struct {
		remote  string
		header  http.Header
		trusted bool
		tls     *tls.ConnectionState
		want    string
	}{
		"first":                      {"192.0.2.1:5", nil, false, nil, "192.0.2.1|http|example.com"},
		"over TLS":                   {"192.0.2.1:5", nil, false, &tls.ConnectionState{HandshakeComplete: true}, "192.0.2.1|https|example.com"},
		"early data":                 {"192.0.2.1:5", nil, false, &tls.ConnectionState{}, "192.0.2.1|https|example.com|early"},
		"IPv6 with a zone":           {"[fe80::1%eth0]:5", nil, false, nil, "fe80::1|http|example.com"},
		"behind one not trusted":     {"192.0.2.1:5", prior, false, nil, "192.0.2.1|http|example.com"},
		"behind one that is trusted": {"192.0.2.1:5", prior, true, nil, "203.0.113.1, 203.0.113.2, 192.0.2.1|https|b"},
		"trusted on a socket":        {"@", prior, true, nil, "203.0.113.1, 203.0.113.2|https|b"},
		"on a socket":                {"@", prior, false, nil, "||"},
		"from nowhere":               {"x", prior, true, nil, "||"},
		"taken away before":          {"192.0.2.1:5", omitted, true, nil, "||"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.TLS = test.remote, test.tls
		for key, values := range test.header {
			r.Header[key] = values
		}
		x := &Exchange{relay: new(Relay), request: r, trusted: test.trusted, ctx: t.Context()}
		h := x.NewRequest(0).Header
		got := strings.Join([]string{h.Get("X-Forwarded-For"), h.Get("X-Forwarded-Proto"), h.Get("X-Forwarded-Host")}, "|")
		if h.Get("Early-Data") == "1" {
			got += "|early"
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// Over HTTP/2, events are passed on one by one, trailers are not, and a client that
// leaves is gone for the server, too.
func TestHTTP2(t *testing.T) {
	next, gone := make(chan bool), make(chan bool)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Late")
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = io.WriteString(w, r.Proto+" "+r.Header.Get("Via")+"\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				close(gone)
				return
			}
		}
		w.Header().Set("X-Late", "canary")
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := new(Relay).Serve(w, r, &to{RoundTripper: server.Client().Transport, scheme: "https", address: server.Listener.Addr().String()}, false)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}))
	defer front.Close()
	const event = "HTTP/2.0 1.1 Caddy\n\n"
	get := func() *http.Response {
		res, err := http.Get(front.URL)
		if err != nil {
			t.Fatal(err)
		}
		return oauthtest.Closing(t, &closing{res}, nil).Response
	}
	read := func(res *http.Response) {
		t.Helper()
		got := make([]byte, len(event))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != event {
			t.Fatalf("got %q, %v; want %q", got, err, event)
		}
	}
	res := get()
	for range 3 {
		read(res)
		next <- true
	}
	rest, err := io.ReadAll(res.Body)
	if err != nil || len(rest) > 0 || len(res.Trailer) > 0 || res.Header.Get("Via") != "2.0 Caddy" {
		t.Errorf("got %q, %v, trailers %v, via %q; want the end, and nothing behind", rest, err, res.Trailer, res.Header.Get("Via"))
	}
	res = get()
	read(res)
	res.Body.Close()
	<-gone
}

type closing struct{ *http.Response }

func (c *closing) Close() error { return c.Body.Close() }

// serveHTTP2 answers each request with the statuses, one after the other.
func serveHTTP2(t *testing.T, statuses ...string) (address string) {
	t.Helper()
	return oauthtest.ServeFrames(t, func(framer *http2.Framer) {
		_ = framer.WriteSettings()
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			request, ok := frame.(*http2.HeadersFrame)
			if !ok {
				continue
			}
			for _, status := range statuses {
				var block bytes.Buffer
				encoder := hpack.NewEncoder(&block)
				_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: status})
				_ = encoder.WriteField(hpack.HeaderField{Name: "x-from", Value: "server"})
				_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: request.StreamID, BlockFragment: block.Bytes(), EndHeaders: true})
			}
			_ = framer.WriteData(request.StreamID, true, []byte("the body"))
		}
	})
}

// What ends no request is refused before anything is answered: over HTTP/2, the
// transport lets more of it through.
func TestStatusesOverHTTP2(t *testing.T) {
	for name, test := range map[string]struct {
		statuses []string
		want     int
	}{
		"an answer":              {[]string{"200"}, 200},
		"a hint, and an answer":  {[]string{"103", "200"}, 200},
		"an odd answer":          {[]string{"999"}, 999},
		"another protocol":       {[]string{"101", "200"}, 502},
		"another protocol, late": {[]string{"103", "101", "200"}, 502},
		"of four digits":         {[]string{"1000"}, 502},
		"of two digits":          {[]string{"99"}, 502},
		"negative":               {[]string{"-200"}, 502},
	} {
		t.Run(name, func(t *testing.T) {
			address := serveHTTP2(t, test.statuses...)
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true} //nolint:gosec // any
			defer transport.CloseIdleConnections()
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := new(Relay).Serve(w, r, &to{RoundTripper: transport, scheme: "https", address: address}, false); err != nil {
					w.WriteHeader(http.StatusBadGateway)
				}
			}))
			defer front.Close()
			res, err := http.Post(front.URL, "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != test.want {
				t.Errorf("got %d, %q, %v; want %d", res.StatusCode, body, err, test.want)
			}
			if fromServer := res.Header.Get("X-From") != ""; fromServer == (test.want == http.StatusBadGateway) {
				t.Errorf("headers of the server: %v", res.Header)
			}
		})
	}
}
