package oauthtest

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// NewListener returns the address of something that hangs up, and how to ask
// how often it was dialled since the last time.
func NewListener(t testing.TB) (address string, dialled func() int) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var accepted atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			_ = conn.Close()
		}
	}()
	return listener.Addr().String(), func() int {
		// Connections are accepted in order: after our own, all before it are counted.
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.Close()
		return int(accepted.Swap(0)) - 1
	}
}

// ServeFrames returns the address of a server that speaks HTTP/2 over TLS, with a
// certificate that nobody trusts. It has serve do so with the first connection, behind
// the preface.
func ServeFrames(t testing.TB, serve func(*http2.Framer)) (address string) {
	t.Helper()
	certificates := httptest.NewTLSServer(nil)
	certificates.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificates.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface)))
		serve(http2.NewFramer(conn, conn))
	}()
	return listener.Addr().String()
}
