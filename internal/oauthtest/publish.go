package oauthtest

import (
	"net/http"
	"strings"
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
