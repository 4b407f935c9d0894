package caddymodule

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// N08: who sends a body a byte at a time is answered all the same, over HTTP/1
// and HTTP/2, wherever the body is read here.
func TestSlowBody_N08(t *testing.T) {
	defer func(before time.Duration) { bodyTimeout = before }(bodyTimeout)
	bodyTimeout = 500 * time.Millisecond
	lines := alice + newLab(t).server()
	g := newGateway(t, lines)
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin off\nservers {\nprotocols h1 h2c\n}", 1))
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	defer h2.CloseIdleConnections()
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
				body, writer := io.Pipe()
				go drip(writer)
				defer body.Close()
				req, err := http.NewRequestWithContext(t.Context(), "POST", g.url+path, body)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", media)
				req.Header.Set("Authorization", "Bearer "+aliceKey)
				began := time.Now()
				res, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if took := time.Since(began); took > 5*time.Second || res.StatusCode/100 != 4 {
					t.Errorf("status %d after %v, want a refusal after %v", res.StatusCode, took, bodyTimeout)
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

// drip writes a byte now and then, for a minute.
func drip(w *io.PipeWriter) {
	for range 600 {
		if _, err := w.Write([]byte("a")); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = w.Close()
}

// deadlines records those that are set for reading.
type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// A body that arrives in time leaves no deadline behind: what is done with it,
// or read after what is held of it, may take longer. Without a body there is none.
func TestNoDeadlineAfterTheBody_N08(t *testing.T) {
	read := func(w http.ResponseWriter, r *http.Request) error {
		timeBody(w, r)
		_, err := io.ReadAll(r.Body)
		return err
	}
	hold := func(w http.ResponseWriter, r *http.Request) error { return new(heldBody).hold(w, r) }
	holdPieces := func(w http.ResponseWriter, r *http.Request) error {
		r.Body = io.NopCloser(iotest.OneByteReader(r.Body))
		return hold(w, r)
	}
	for name, c := range map[string]struct {
		use  func(http.ResponseWriter, *http.Request) error
		body string
		want int // deadlines; the last of them is none
	}{
		"ours":             {read, "body", 2},
		"ours, empty":      {read, "", 0},
		"held":             {hold, "body", 0}, // it came with the headers
		"held, in pieces":  {holdPieces, "body", 2},
		"held, empty":      {hold, "", 0},
		"too much to hold": {hold, strings.Repeat("x", maxHeldBody+1), 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := &deadlines{}
			if err := c.use(d, httptest.NewRequest("POST", "/", strings.NewReader(c.body))); err != nil {
				t.Fatal(err)
			}
			if len(d.set) != c.want || c.want > 0 && (d.set[0].IsZero() || !d.set[c.want-1].IsZero()) {
				t.Errorf("deadlines %v, want %d, of which the last is none", d.set, c.want)
			}
		})
	}
}
