package oauthtest

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Publish has the host serve a JSON document, with headers in pairs, and returns
// its URL. In the text, $ID stands for that URL.
func (h *Host) Publish(path, text string, headers ...string) string {
	text = strings.ReplaceAll(text, "$ID", h.URL+path)
	return h.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = w.Write([]byte(text))
	})
}

// Handle has the host answer a path, and returns its URL.
func (h *Host) Handle(path string, serve http.HandlerFunc) string {
	h.Page(path, serve)
	return h.URL + path
}

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
