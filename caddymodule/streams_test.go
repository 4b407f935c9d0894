package caddymodule

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
)

// A stream goes on through a reload, and is judged by the new configuration.
func TestStreamSurvivesReload(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	stream := g.call("GET", "/mcp", "", "Accept", "text/event-stream").Body
	if got, err := event(stream); got != "open" {
		t.Fatal(got, err)
	}
	g.load(g.caddyfile(alice + "server a /mcp " + up.URL))
	state := stateOf(t, g)
	state.recheck(context.Background())
	next <- "after the reload"
	if got, err := event(stream); got != "after the reload" {
		t.Fatal(got, err)
	}
	g.load(g.caddyfile("identity virtual_key\nvirtual_key bob sha256:" + strings.Repeat("ab", 32) + "\nserver a /mcp " + up.URL))
	state.recheck(context.Background())
	if got, err := event(stream); !errors.Is(err, io.EOF) {
		t.Errorf("after the key was withdrawn: %q, %v", got, err)
	}
	if n := len(state.streams.snapshot()); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

// A stream does not outlive the server that the operator took away.
func TestStreamEndsWithItsServer(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	stream := g.call("GET", "/mcp", "", "Accept", "text/event-stream").Body
	if got, err := event(stream); got != "open" {
		t.Fatal(got, err)
	}
	g.load(g.caddyfile(alice + "server b /other " + up.URL))
	state := stateOf(t, g)
	state.recheck(context.Background())
	for _, s := range state.streams.snapshot() {
		if !s.ended.Load() {
			t.Fatal("the stream goes on")
		}
	}
	if got, err := event(stream); !errors.Is(err, io.EOF) {
		t.Errorf("%q, %v", got, err)
	}
}

// An exiting process ends all streams, also one that opens while it stops.
func TestStreamsEndAtExit(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	stream := g.call("GET", "/mcp", "").Body
	if got, err := event(stream); got != "open" {
		t.Fatal(got, err)
	}
	stateOf(t, g).streams.close()
	if got, err := event(stream); !errors.Is(err, io.EOF) {
		t.Errorf("an open stream: %q, %v", got, err)
	}
	if got, err := event(g.call("GET", "/mcp", "").Body); !errors.Is(err, io.EOF) {
		t.Errorf("a late stream: %q, %v", got, err)
	}
}

// E18: a stream ends when its token is revoked.
func TestStreamEndsWithItsToken_E18(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	answer := g.signIn("client", g.url+"/mcp")
	token := accessToken(t, answer)
	stream := g.call("GET", "/mcp", "", "Authorization", "Bearer "+token).Body
	if got, err := event(stream); got != "open" {
		t.Fatal(got, err)
	}
	state := stateOf(t, g)
	state.recheck(context.Background())
	if n := len(state.streams.snapshot()); n != 1 {
		t.Fatalf("%d streams", n)
	}
	g.revoke(token)
	state.recheck(context.Background())
	if got, err := event(stream); !errors.Is(err, io.EOF) {
		t.Errorf("after revocation: %q, %v", got, err)
	}
}

// Stopping waits for a check of the streams that is under way, and that check
// asks the App that is being stopped.
func TestStopDuringACheck(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	if got, err := event(g.call("GET", "/mcp", "").Body); got != "open" {
		t.Fatal(got, err)
	}
	state, app := stateOf(t, g), activeApp()
	state.done.Go(func() { // as the janitor's goroutine
		for stopping := false; !stopping; runtime.Gosched() {
			app.mu.Lock()
			stopping = app.released
			app.mu.Unlock()
		}
	})
	if err := app.Cleanup(); err != nil {
		t.Error(err)
	}
}
