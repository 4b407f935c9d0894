package oauth

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/inert"
)

// WriteJSON answers with a document that no cache may keep.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	writeDocument(w, status, inert.JSON(body))
}

// writeDocument is WriteJSON for a document that is ready. The headers share one
// allocation, without room behind them that an append could reach.
func writeDocument(w http.ResponseWriter, status int, body []byte) {
	values := [...]string{"application/json", "no-store", "nosniff"}
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = values[0:1:1], values[1:2:2], values[2:3:3]
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// WriteDocument answers with a JSON document that is the same for everybody, and
// may be kept as cacheControl says.
func WriteDocument(w http.ResponseWriter, body []byte, cacheControl string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", cacheControl)
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body) // net/http drops it for HEAD
}

// SetRetryAfter tells when to ask again, where asking again helps.
func SetRetryAfter(w http.ResponseWriter, status int) {
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
}
