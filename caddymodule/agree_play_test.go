package caddymodule

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// play is an exchange as it goes on, and what both sides see of it.
type play struct {
	*exchange

	mu      sync.Mutex
	changed *sync.Cond
	late    bool // something that was waited for never came

	seen   []requestSeen // by the MCP server, a request each
	active int           // requests at the MCP server
	asked  int           // bytes of the body that it has read
	read   bool          // it has read all of the request
	heard  answerHeard   // by the client
	got    int           // bytes of the answer's body that the client has
	ended  bool          // the client knows how the answer ended, or left
}

func newPlay(x *exchange) *play {
	p := &play{exchange: x}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// note changes what is known.
func (p *play) note(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

// await returns once it is so. What never comes is an observation, too.
func (p *play) await(is func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	expired := false
	timer := time.AfterFunc(oauthtest.Patience, func() { p.note(func() { expired = true }) })
	defer timer.Stop()
	for !is() && !expired {
		p.changed.Wait()
	}
	p.late = p.late || expired
}

// requestSeen is what the MCP server sees of a request.
type requestSeen struct {
	Request, Header, Framing, Body, End string
	Reused                              bool // connection
	Gone                                bool // it noticed that nobody waits for the answer
}

// answerHeard is what the client hears.
type answerHeard struct {
	Informational                        []string
	Status, Header, Framing, Body, Ended string
}

// scripted is an MCP server that does what the exchange at hand says, byte by byte.
type scripted struct {
	net.Listener
	mu      sync.Mutex
	playing *play
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s := &scripted{Listener: oauthtest.Closing(t, listener, err)}
	go func() {
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			go s.serve(conn.(*net.TCPConn))
		}
	}()
	return s
}

func (s *scripted) put(p *play) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.playing = p
}

func (s *scripted) serve(conn *net.TCPConn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for reused := false; ; reused = true {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		p := s.playing
		s.mu.Unlock()
		if p == nil || req.Header.Get("Mcp-Case") != p.ID {
			return
		}
		p.note(func() { p.active++ })
		again := p.answer(conn, r, req, reused)
		p.note(func() { p.active-- })
		if !again {
			return
		}
	}
}

// answer answers a request, and reports whether the connection goes on.
func (p *play) answer(conn *net.TCPConn, r *bufio.Reader, req *http.Request, reused bool) bool {
	saw := requestSeen{
		Request: req.Method + " " + req.RequestURI + " " + req.Proto + " for " + req.Host, Header: sorted(req.Header, nil),
		Framing: fmt.Sprint(req.TransferEncoding, " ", req.ContentLength), Reused: reused,
	}
	at := 0
	p.note(func() { at = len(p.seen); p.seen = append(p.seen, saw) })
	script := p.Answers[min(at, len(p.Answers)-1)]
	read := func() {
		body, err := io.ReadAll(io.TeeReader(req.Body, counting(func(n int) { p.note(func() { p.asked += n }) })))
		saw.Body, saw.End = string(body), "complete"
		if err != nil {
			saw.End = "cut"
		}
		if len(req.Trailer) > 0 {
			saw.End += " with trailers " + sorted(req.Trailer, nil)
		}
		p.note(func() { p.read = true })
	}
	if !script.Early {
		read()
	}
	for _, part := range script.Parts {
		if _, err := io.WriteString(conn, part.Text); err != nil {
			break
		}
		if part.Headed || part.Until > 0 {
			p.await(func() bool { return p.heard.Status != "" && p.got >= part.Until || p.ended })
		}
	}
	if script.Early {
		read()
		saw.Body, saw.End = "", "" // how much of it there is depends on who is faster
	}
	again := false
	switch script.End {
	case "keep":
		again = true
	case "close":
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, r) // until the gateway has noticed
	case "reset":
		_ = conn.SetLinger(0)
	case "wait":
		_ = conn.SetReadDeadline(time.Now().Add(oauthtest.Patience))
		_, err := io.Copy(io.Discard, r)
		saw.Gone = !errors.Is(err, io.ErrNoProgress) && !isTimeout(err)
	}
	p.note(func() { p.seen[at] = saw })
	return again
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

type counting func(n int)

func (c counting) Write(b []byte) (int, error) { c(len(b)); return len(b), nil }

// call makes the client's part at an address.
func (p *play) call(t testing.TB, addr, path string) {
	t.Helper()
	dialed, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn := dialed.(*net.TCPConn)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * oauthtest.Patience))
	wrote := make(chan bool)
	go func() {
		defer close(wrote)
		p.write(conn, p.head(addr, path))
	}()
	p.hear(conn)
	p.note(func() { p.ended = true })
	conn.Close()
	<-wrote
	p.await(func() bool { return p.active == 0 })
}

// write sends the request, or as much of it as the client does not leave before.
func (p *play) write(conn net.Conn, head string) {
	if _, err := io.WriteString(conn, head); err != nil {
		return
	}
	if p.Expect {
		p.await(func() bool { return len(p.heard.Informational) > 0 || p.ended })
	}
	sent := 0
	for i, piece := range p.Pieces {
		if p.Leave == "body" && i == p.LeaveAt {
			p.await(func() bool { return len(p.seen) > 0 || p.ended })
			conn.Close()
			return
		}
		if _, err := io.WriteString(conn, p.framed(piece)); err != nil {
			return
		}
		if sent += len(piece); p.Framing == "chunked" && p.Method == "POST" && !p.Answers[0].Early {
			p.await(func() bool { return p.asked >= sent || p.ended }) // it does not wait for more
		}
	}
	_, _ = io.WriteString(conn, p.last())
	if p.Leave == "asked" {
		p.await(func() bool { return p.read || p.ended })
		conn.Close()
	}
}

// hear reads the answer.
func (p *play) hear(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: p.Method})
		if err != nil {
			p.note(func() { p.heard.Ended = p.howItEnded(err) })
			return
		}
		header := sorted(res.Header, nil)
		if res.StatusCode < 200 && res.StatusCode != 101 {
			p.note(func() { p.heard.Informational = append(p.heard.Informational, res.Status+"\n"+header) })
			continue
		}
		p.note(func() {
			p.heard.Status, p.heard.Header = res.Proto+" "+res.Status, header
			p.heard.Framing = fmt.Sprint(res.TransferEncoding, " ", res.ContentLength)
		})
		ended := p.hearBody(conn, res.Body)
		p.note(func() {
			if p.heard.Ended = ended; len(res.Trailer) > 0 {
				p.heard.Ended += " with trailers " + sorted(res.Trailer, nil)
			}
		})
		return
	}
}

func (p *play) hearBody(conn net.Conn, body io.Reader) (ended string) {
	part := make([]byte, 64<<10)
	for {
		n, err := body.Read(part)
		p.note(func() { p.heard.Body += string(part[:n]); p.got += n })
		if p.Leave == "answer" && len(p.heard.Body) >= p.LeaveAt {
			p.heard.Body = p.heard.Body[:p.LeaveAt]
			conn.Close()
			return "left"
		}
		if err != nil {
			return p.howItEnded(err)
		}
	}
}

func (p *play) howItEnded(err error) string {
	switch {
	case err == io.EOF:
		return "complete"
	case errors.Is(err, net.ErrClosed):
		return "left"
	case isTimeout(err):
		return "never"
	}
	return "cut"
}

// sorted is a header in one spelling, without some of it.
func sorted(h http.Header, without []string) string {
	var lines []string
	for name, values := range h {
		if slices.Contains(without, name) {
			continue
		}
		for _, value := range values {
			if len(value) > 200 {
				value = fmt.Sprintf("%s… (%d bytes)", value[:20], len(value))
			}
			lines = append(lines, name+": "+value)
		}
	}
	slices.SortStableFunc(lines, func(a, b string) int {
		a, _, _ = strings.Cut(a, ":")
		b, _, _ = strings.Cut(b, ":")
		return strings.Compare(a, b)
	})
	return strings.Join(lines, "\n")
}
