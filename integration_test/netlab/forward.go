//go:build linux

package netlab

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Offer makes what listens at an address of the test's loopback reachable at
// the same address of the host, so that a URL means the same there.
func (h *Host) Offer(t testing.TB, address string) {
	t.Helper()
	l := h.Listen(t, address)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go pass(in, address)
		}
	}()
}

func pass(in net.Conn, address string) {
	defer in.Close()
	out, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer out.Close()
	var both sync.WaitGroup
	both.Go(func() { copyTo(out, in) })
	both.Go(func() { copyTo(in, out) })
	both.Wait()
}

// copyTo ends both ways if one is broken, and hands on that a side has no more
// to say.
func copyTo(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		_ = from.Close()
		return
	}
	_ = to.(*net.TCPConn).CloseWrite()
}
