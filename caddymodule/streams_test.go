package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// A stream goes on through a reload, and is judged by the new configuration.
func TestStreamSurvivesReload(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	stream := g.call("GET", "/mcp", "", "Accept", "text/event-stream").Body
	if got, err := readEvent(stream); got != "open" {
		t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}
	g.load(g.caddyfile(alice + "server a /mcp " + up.URL))
	state := stateOf(t, g)
	state.recheck(context.Background())
	next <- "after the reload"
	if got, err := readEvent(stream); got != "after the reload" {
		t.Fatalf("got %v, error %v; want %v", got, err, "after the reload")
	}
	g.load(g.caddyfile("identity virtual_key\nvirtual_key bob sha256:" + strings.Repeat("ab", 32) + "\nserver a /mcp " + up.URL))
	state.recheck(context.Background())
	if got, err := readEvent(stream); !errors.Is(err, io.EOF) {
		t.Errorf("after the key was withdrawn: %q, %v", got, err)
	}
	if n := state.Streams.Len(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// A stream does not outlive the server that the operator took away.
func TestStreamEndsWithItsServer(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	stream := g.call("GET", "/mcp", "", "Accept", "text/event-stream").Body
	if got, err := readEvent(stream); got != "open" {
		t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}
	g.load(g.caddyfile(alice + "server b /other " + up.URL))
	state := stateOf(t, g)
	state.recheck(context.Background())
	if got, err := readEvent(stream); !errors.Is(err, io.EOF) {
		t.Errorf("%q, %v", got, err)
	}
}

// An exiting process ends all streams, also one that opens while it stops.
func TestStreamsEndAtExit(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	stream := g.call("GET", "/mcp", "").Body
	if got, err := readEvent(stream); got != "open" {
		t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}
	stateOf(t, g).Streams.Close(gateway.StopGrace)
	if got, err := readEvent(stream); !errors.Is(err, io.EOF) {
		t.Errorf("an open stream: %q, %v", got, err)
	}
	if got, err := readEvent(g.call("GET", "/mcp", "").Body); !errors.Is(err, io.EOF) {
		t.Errorf("a late stream: %q, %v", got, err)
	}
}

// E18: a stream ends when its token is revoked.
func TestStreamEndsWithItsToken_E18(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	answer := g.signIn("client", g.url+"/mcp")
	token := accessToken(t, answer)
	stream := g.call("GET", "/mcp", "", "Authorization", "Bearer "+token).Body
	if got, err := readEvent(stream); got != "open" {
		t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}
	state := stateOf(t, g)
	state.recheck(context.Background())
	if n := state.Streams.Len(); n != 1 {
		t.Fatalf("%d streams", n)
	}
	g.revoke(token)
	state.recheck(context.Background())
	if got, err := readEvent(stream); !errors.Is(err, io.EOF) {
		t.Errorf("after revocation: %q, %v", got, err)
	}
}

// slowly answers in parts, with the given header, until next is closed. It lists no
// tools to pages that ask for them.
func slowly(t *testing.T, header, value string) (up *oauthtest.Host, next chan string) {
	next = make(chan string)
	return oauthtest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(oauthtest.ReadBody(r), `"caddy-mcp-oauth-`) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set(header, value)
		for text := range next {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
	}), next
}

// E18: so does any other answer that is still being sent. Cut off, it does not
// look complete.
func TestSlowAnswerEndsWithItsToken_E18(t *testing.T) {
	for name, header := range map[string][2]string{
		"JSON in parts":  {"Content-Type", "application/json"},
		"lines of JSON":  {"Content-Type", "application/x-ndjson"},
		"download":       {"Content-Length", "1000000"},
		"without a type": {"X-Nothing", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			up, next := slowly(t, header[0], header[1])
			defer close(next)
			g := newGateway(t, alice+"server a /mcp "+up.URL)
			token := accessToken(t, g.signIn("client", g.url+"/mcp"))
			answered := make(chan *http.Response)
			go func() { answered <- g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token) }()
			much := strings.Repeat("1,", 1<<16) // more than the proxy keeps back
			next <- much
			res := <-answered
			part := make([]byte, len(much)/2)
			if _, err := io.ReadFull(res.Body, part); err != nil {
				t.Fatal(err)
			}
			state := stateOf(t, g)
			state.recheck(t.Context())
			next <- much
			if _, err := io.ReadFull(res.Body, part); err != nil {
				t.Fatalf("while the token is good: %v", err)
			}
			g.revoke(token)
			state.recheck(t.Context())
			if rest, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("after revocation: %d bytes, and looks complete", len(rest))
			}
			if n := state.Streams.Len(); n != 0 {
				t.Errorf("%d answers are left", n)
			}
		})
	}
}

// A client that does not read its answer is cut off too.
func TestClientThatDoesNotReadIsCutOffAtExit(t *testing.T) {
	up, written := endless(t)
	lines := alice + "server a /mcp " + up.URL
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	for version, transport := range map[string]*http.Transport{"HTTP/1": {}, "HTTP/2": h2} {
		t.Run(version, func(t *testing.T) {
			defer transport.CloseIdleConnections()
			g := newGateway(t, lines)
			g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin off\nservers {\nprotocols h1 h2c\n}", 1))
			req, err := http.NewRequestWithContext(t.Context(), "POST", g.url+"/mcp", strings.NewReader(initialize))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+aliceKey)
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			for before := int64(-1); before != written.Load(); time.Sleep(100 * time.Millisecond) { // until nothing goes on
				before = written.Load()
			}
			all := stateOf(t, g).Streams
			all.Close(0)
			oauthtest.Eventually(t, "the call goes on", func() bool { return all.Len() == 0 })
		})
	}
}

// endless is an MCP server whose answer has no end, and how much of it it wrote.
func endless(t *testing.T) (*oauthtest.Host, *atomic.Int64) {
	written := new(atomic.Int64)
	return oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for part := make([]byte, 1<<16); ; {
			if _, err := w.Write(part); err != nil {
				return
			}
			written.Add(1)
		}
	}), written
}

// A call that hangs at an MCP server is ended through its connection.
func TestHangingCallIsEnded(t *testing.T) {
	arrived, leave := make(chan bool, 2), make(chan bool)
	up := oauthtest.Serve(t, func(http.ResponseWriter, *http.Request) {
		arrived <- true
		<-leave
	})
	defer close(leave)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	answered := make(chan *http.Response)
	go func() { answered <- g.call("POST", "/mcp", initialize) }()
	<-arrived
	conns := &activeApp().conns
	conns.Close()
	status(t, <-answered, http.StatusBadGateway)
	status(t, g.call("POST", "/mcp", initialize), http.StatusBadGateway) // nor is another opened
	if n := size(conns, "open"); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// Stopping waits for a check of the streams that is under way, and that check
// asks the App that is being stopped.
func TestStopDuringACheck(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	if got, err := readEvent(g.call("GET", "/mcp", "").Body); got != "open" {
		t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}
	state, app := stateOf(t, g), activeApp()
	state.done.Go(func() { // as the janitor's goroutine
		for stopping := false; !stopping; runtime.Gosched() {
			app.mu.Lock()
			stopping = app.released
			app.mu.Unlock()
		}
	})
	if err := app.Cleanup(); err != nil {
		t.Error(err)
	}
}
