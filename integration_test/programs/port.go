package programs

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreeAddr returns a loopback address that nobody listens on, and that no other
// test gets while this one runs, in this process or another.
//
// To find a port and let go of it would not do: Caddy shares a port that
// another Caddy listens on (SO_REUSEPORT), so both would start, and each answer
// some requests of the other.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		// Below the ports that systems give to outgoing connections.
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+rand.IntN(20_000)))
		reservation, err := net.ListenPacket("udp", addr) // nobody here speaks UDP
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			reservation.Close()
			continue
		}
		l.Close()
		t.Cleanup(func() { reservation.Close() })
		return addr
	}
	t.Fatal("no port is free")
	return ""
}
