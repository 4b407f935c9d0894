package upstream

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// endless is a body of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// stalled is a server over HTTP/2 that takes the beginning of a request, asks for an
// answer of the transport itself, and reads no more. So the transport reads no more
// either: it waits until it can write.
func stalled(t *testing.T) (address string, stalls <-chan struct{}) {
	t.Helper()
	end, stalling := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(end) })
	address = oauthtest.ServeFrames(t, func(framer *http2.Framer) {
		_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		_ = framer.WriteWindowUpdate(0, 1<<30)
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if s, ok := frame.(*http2.SettingsFrame); ok && !s.IsAck() {
				_ = framer.WriteSettingsAck()
			}
			if _, ok := frame.(*http2.DataFrame); ok {
				break
			}
		}
		<-time.After(time.Second) // in which the buffers of the connection fill
		_ = framer.WritePing(false, [8]byte{1})
		<-time.After(200 * time.Millisecond)
		close(stalling)
		<-end
	})
	return address, stalling
}

// A call over HTTP/2 ends when its client leaves, whatever else its connection waits for.
func TestStalledHTTP2(t *testing.T) {
	address, stalls := stalled(t)
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	conns := new(Conns)
	defer conns.Close()
	own, err := conns.Transport(ctx, json.RawMessage(`{"protocol":"http","tls":{"insecure_skip_verify":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	call := func(ctx context.Context, body io.Reader) error {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: AwaitDrained})
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+"/", body)
		if err != nil {
			return err
		}
		res, err := own.RoundTrip(r)
		if err == nil {
			err = res.Body.Close()
		}
		return err
	}
	go func() { _ = call(t.Context(), io.NopCloser(endless{})) }()
	<-stalls
	left, leave := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer leave()
	ended := make(chan error, 1)
	go func() { ended <- call(left, strings.NewReader("{}")) }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it was answered")
		}
	case <-time.After(4 * time.Second):
		t.Error("it goes on though its client left")
	}
}

// An HTTP/1 connection that is not read from is closed, not waited for without end.
func TestConnectionThatIsNotReadFrom(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	c, err := new(Conns).add(here, false)
	if err != nil {
		t.Fatal(err)
	}
	AwaitDrained(httptrace.GotConnInfo{Conn: c}) // new: nothing came before
	if c.(*conn).closed.Load() {
		t.Error("a new connection was closed")
	}
	AwaitDrained(httptrace.GotConnInfo{Conn: c, Reused: true})
	if !c.(*conn).closed.Load() {
		t.Error("it is still open")
	}
	if c, err = new(Conns).add(here, true); err != nil {
		t.Fatal(err)
	}
	AwaitDrained(httptrace.GotConnInfo{Conn: c, Reused: true})
	if c.(*conn).closed.Load() {
		t.Error("a connection that several calls share was closed")
	}
}
