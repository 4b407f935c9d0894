package caddymodule

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/requestbody"
)

// N08: who sends a body a byte at a time is answered all the same, over HTTP/1
// and HTTP/2, wherever the body is read here.
func TestSlowBody_N08(t *testing.T) {
	before := requestbody.Timeout
	t.Cleanup(func() { requestbody.Timeout = before })
	requestbody.Timeout = 500 * time.Millisecond
	lines := alice + newService(t).server()
	g := newGateway(t, lines)
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin off\nservers {\nprotocols h1 h2c\n}", 1))
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(h2.CloseIdleConnections)
	const form, asJSON = "application/x-www-form-urlencoded", "application/json"
	for version, transport := range map[string]http.RoundTripper{"HTTP/1": &http.Transport{DisableKeepAlives: true}, "HTTP/2": h2} {
		for path, media := range map[string]string{
			"/api/oauth/per-user/token":      form,
			"/api/oauth/per-user/revoke":     form,
			"/api/oauth/per-user/register":   asJSON,
			"/api/oauth/per-user/consent/vk": form,
			"/oauth/account/signout":         form,
			serverPath(t):                    asJSON,
		} {
			t.Run(version+path, func(t *testing.T) {
				t.Parallel()
				body, writer := io.Pipe()
				dripped := make(chan struct{})
				go func() {
					if drip(writer) {
						close(dripped)
					}
				}()
				defer body.Close()
				req, err := http.NewRequestWithContext(t.Context(), "POST", g.url+path, body)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", media)
				req.Header.Set("Authorization", "Bearer "+aliceKey)
				res, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				select {
				case <-dripped:
					t.Error("it is answered when all of the body is there, want before")
				default:
				}
				if res.StatusCode/100 != 4 {
					t.Errorf("status %d, want a refusal", res.StatusCode)
				}
			})
		}
	}
}

// serverPath returns the path of the connected server.
func serverPath(t *testing.T) string {
	t.Helper()
	return activeHandler(t).Servers[0].Path
}

// drip writes a byte now and then, for a minute, and reports whether all were taken.
func drip(w *io.PipeWriter) bool {
	for range 600 {
		if _, err := w.Write([]byte("a")); err != nil {
			return false
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = w.Close()
	return true
}
