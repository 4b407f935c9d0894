package client

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// One that never answers what it does not know is asked in the older way before
// the time is over.
func TestServerHangsOverTheFirstQuestion(t *testing.T) {
	for name, hang := range map[string]http.HandlerFunc{
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"stream without events": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.server.Page("/mcp", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Mcp-Method") == "server/discover" {
					hang(w, r)
					return
				}
				w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://mcp.example/odd"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			c, err := tc.challengeOf(ctx, tc.server.URL+"/mcp")
			if err != nil || c.ResourceMetadata != "https://mcp.example/odd" {
				t.Errorf("challenge %+v, %v", c, err)
			}
		})
	}
}
