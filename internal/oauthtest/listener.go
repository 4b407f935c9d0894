package oauthtest

import (
	"net"
	"sync/atomic"
	"testing"
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
