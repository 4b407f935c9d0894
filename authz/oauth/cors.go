package oauth

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// CORS serves an endpoint that any web page may use, because nothing about it
// depends on cookies: metadata, registration, token, revocation and
// introspection. It answers preflight requests, and 405 to any method that is
// not among methods; GET brings HEAD.
func CORS(events *event.Recorder, next http.Handler, methods ...string) http.Handler {
	return cors(events, next, methods, func(h http.Header, _ []string) { h.Set("Access-Control-Allow-Origin", "*") })
}

// CORSFrom is CORS for pages of one origin alone. Others get no answer that they
// can read.
func CORSFrom(origin string, events *event.Recorder, next http.Handler, methods ...string) http.Handler {
	return cors(events, next, methods, func(h http.Header, from []string) {
		h.Add("Vary", "Origin")
		if len(from) == 1 && from[0] == origin {
			h.Set("Access-Control-Allow-Origin", origin)
		}
	})
}

func cors(events *event.Recorder, next http.Handler, methods []string, allowOrigin func(h http.Header, from []string)) http.Handler {
	if slices.Contains(methods, http.MethodGet) {
		methods = append(slices.Clone(methods), http.MethodHead)
	}
	allow := strings.Join(append(slices.Clone(methods), http.MethodOptions), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		allowOrigin(h, r.Header.Values("Origin"))
		if r.Method == http.MethodOptions {
			AllowPreflight(h, allow, "Authorization, Content-Type, MCP-Protocol-Version")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
		if !slices.Contains(methods, r.Method) {
			h.Set("Allow", allow)
			WriteError(r.Context(), w, events, event.RequestRefused, &Error{
				Status: http.StatusMethodNotAllowed, Code: "invalid_request", Reason: "method", Description: "This endpoint does not answer this method.",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// AllowPreflight answers which methods and headers a web page may use.
func AllowPreflight(h http.Header, methods, headers string) {
	h.Set("Allow", methods)
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", headers)
	h.Set("Access-Control-Max-Age", "3600")
}
