package oauthtest

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Unreachable returns the URL of a document at a port of this machine where
// nobody listens, and how to publish it there. $ID in the document stands for
// its URL.
func Unreachable(t testing.TB, ip, document string) (id string, publish func()) {
	t.Helper()
	listen := func(address string) net.Listener {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return listener
	}
	listener := listen(ip + ":0")
	address := listener.Addr().String()
	_ = listener.Close()
	id = "http://" + address + "/client.json"
	return id, func() {
		listener := listen(address)
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(strings.ReplaceAll(document, "$ID", id)))
		})}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })
	}
}
