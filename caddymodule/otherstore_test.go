package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// What is open belongs to the process: it goes on when a configuration brings
// another store, as after a move, and that store says whether it may.
func TestStreamSurvivesAnotherStore_N01(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	stream := g.call("GET", "/mcp", "", "Authorization", "Bearer "+token).Body
	if got, err := readEvent(stream); got != "open" {
		t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}
	first := stateOf(t, g)
	text := g.caddyfile(alice + "server a /mcp " + up.URL)
	moved := filepath.Join(g.dir, "moved.db")
	database, err := os.ReadFile(g.db())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(moved, database, 0o600); err != nil {
		t.Fatal(err)
	}
	g.load(strings.Replace(text, g.db(), moved, 1))
	second := stateOf(t, g)
	if second == first {
		t.Fatal("the store is the same")
	}
	second.recheck(t.Context())
	next <- "with another store"
	if got, err := readEvent(stream); got != "with another store" {
		t.Fatalf("got %v, error %v; want %v", got, err, "with another store")
	}
	g.load(strings.Replace(text, g.db(), filepath.Join(g.dir, "empty.db"), 1))
	stateOf(t, g).recheck(t.Context())
	if got, err := readEvent(stream); !errors.Is(err, io.EOF) {
		t.Errorf("with a store that does not know the token: %q, %v", got, err)
	}
}

// A configuration that opened another store, and was refused then, cuts nothing.
func TestStreamSurvivesARefusedStore_N01(t *testing.T) {
	up, next := eventStream(t)
	defer close(next)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	stream := g.call("GET", "/mcp", "").Body
	if got, err := readEvent(stream); got != "open" {
		t.Fatalf("got %v, error %v; want %v", got, err, "open")
	}
	text := strings.Replace(g.caddyfile(alice+"server a /mcp "+up.URL), g.db(), filepath.Join(g.dir, "other.db"), 1)
	if err := loadCaddyfile(strings.Replace(text, "bind 127.0.0.1", "bind 192.0.2.1", 1)); err == nil {
		t.Fatal("a configuration that cannot listen is taken")
	}
	stateOf(t, g).recheck(t.Context())
	next <- "after the refusal"
	if got, err := readEvent(stream); got != "after the refusal" {
		t.Errorf("got %v, error %v; want %v", got, err, "after the refusal")
	}
}

// Who guessed too often has done so, whichever store there is now.
func TestLimitsSurviveAnotherStore_N01(t *testing.T) {
	lines := alice + "server a /mcp " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	guess := func() int {
		res := g.call("POST", "/mcp", "{}", "Authorization", "Bearer mcpat_wrong")
		_ = res.Body.Close()
		return res.StatusCode
	}
	for n := 0; guess() != http.StatusTooManyRequests; n++ {
		if n == 200 {
			t.Fatal("nobody stops who guesses")
		}
	}
	exhausted := time.Now()
	g.load(strings.Replace(g.caddyfile(lines), g.db(), filepath.Join(g.dir, "other.db"), 1))
	heard := 0
	for range 30 {
		if guess() != http.StatusTooManyRequests {
			heard++
		}
	}
	if again := int(time.Since(exhausted)/time.Second) + 1; heard > again {
		t.Errorf("with another store %d guesses are answered, want %d at most", heard, again)
	}
}
