//go:build integration && linux

package netlab_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m, (*testing.M).Run)) }

func TestHosts(t *testing.T) {
	wire, host := netlab.NewWire(t, 0), netlab.NewHost(t, "a")
	address := net.JoinHostPort(host.Connect(t, wire, 11), "8080")
	serve(t, host.Listen(t, address))

	get := func(from string) (string, error) {
		dialer := &net.Dialer{Timeout: 500 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
		resp, err := client.Get("http://" + address)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		seen, err := io.ReadAll(resp.Body)
		return string(seen), err
	}
	for _, from := range []string{wire.Address(0, 1), wire.Address(200, 7)} {
		if seen, err := get(from); err != nil || seen != from {
			t.Errorf("from %s: seen as %q, %v", from, seen, err)
		}
	}
	host.Drop(t, wire.Net)
	var network net.Error
	if _, err := get(wire.Address(0, 1)); !errors.As(err, &network) || !network.Timeout() {
		t.Errorf("packets are dropped: %v, want a timeout", err)
	}
	host.Reject(t, wire.Net)
	if _, err := get(wire.Address(0, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("packets are rejected: %v, want a refusal", err)
	}
	host.Heal(t)
	if _, err := get(wire.Address(0, 1)); err != nil {
		t.Errorf("healed: %v", err)
	}
}

// What the test listens on at loopback is there at the host too, and nothing is
// beyond the lab.
func TestOffer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	host := netlab.NewHost(t, "a")
	host.Offer(t, server.Listener.Addr().String())
	dial := func(address string) (err error) {
		host.Do(t, func() {
			var c net.Conn
			if c, err = net.DialTimeout("tcp", address, 5*time.Second); err == nil {
				_ = c.Close()
			}
		})
		return err
	}
	if err := dial(server.Listener.Addr().String()); err != nil {
		t.Error(err)
	}
	if err := dial("192.0.2.1:80"); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("an address outside: %v, want that it is unreachable", err)
	}
}

func serve(t *testing.T, l net.Listener) {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = io.WriteString(w, host)
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
}
