package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Ticker is an upstream with the two kinds of traffic MCP has, without MCP's
// rules: a POST is answered at once with a result, a GET with an event stream
// that counts 0, 1, 2, … until the client leaves.
type Ticker struct {
	URL string

	called sync.Map // by JSON-RPC id
}

// Tick starts a Ticker.
func Tick(t testing.TB) *Ticker {
	t.Helper()
	ticker := &Ticker{}
	upstream := httptest.NewServer(ticker)
	t.Cleanup(upstream.Close)
	t.Cleanup(upstream.CloseClientConnections)
	ticker.URL = upstream.URL + "/mcp"
	return ticker
}

// Called reports whether the call with that id has reached the upstream.
func (u *Ticker) Called(id int64) bool {
	_, called := u.called.Load(id)
	return called
}

func (u *Ticker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		var call struct{ ID int64 }
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		u.called.Store(call.ID, true)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%d,"result":{}}`, call.ID)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		fmt.Fprintf(w, "data: %d\n\n", n)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// Stream is an open event stream of a Ticker.
type Stream struct {
	// Events are the numbers as they arrive. It is closed when the stream ends.
	Events <-chan int

	next int
}

// Follow reads the events that have arrived and n fresh ones. The test fails if
// one is missing, or the stream ends.
func (s *Stream) Follow(t testing.TB, n int) {
	t.Helper()
	silence := time.After(oauthtest.Patience)
	for fresh := 0; fresh < n; s.next++ {
		if len(s.Events) == 0 {
			fresh++
		}
		select {
		case event, open := <-s.Events:
			if !open {
				t.Fatal("the stream was cut")
			}
			if event != s.next {
				t.Fatalf("event %d follows %d", event, s.next-1)
			}
		case <-silence:
			t.Fatal("the stream is silent")
		}
	}
}

// OpenStream opens an event stream through the gateway.
func (g *Gateway) OpenStream(t testing.TB, path, token string) *Stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("stream: %s", resp.Status)
	}
	events := make(chan int, 1_000_000)
	go func() {
		defer close(events)
		defer resp.Body.Close()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				n, _ := strconv.Atoi(data)
				events <- n
			}
		}
	}()
	return &Stream{Events: events}
}

// Call sends one MCP request through the gateway and reads its answer, which
// must be that of this call.
func (g *Gateway) Call(ctx context.Context, client *http.Client, path, token string, id int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+path,
		strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"ping"}`, id)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{}}`, id); resp.StatusCode != http.StatusOK || string(body) != want {
		return fmt.Errorf("%s: %s, want %s", resp.Status, body, want)
	}
	return nil
}
