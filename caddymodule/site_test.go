package caddymodule

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/placeholders"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/process"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Two sites of one process may both have a key named alice and a server named
// a. An MCP session of the one is none of the other.
func TestSessionsOfTwoSites_P10(t *testing.T) {
	keys, err := seal.NewKeyring([]byte("0123456789abcdefghijklmnopqrstuv"))
	if err != nil {
		t.Fatal(err)
	}
	store := memstore.New()
	state := &processState{
		Process: process.Acquire(), store: store, tokens: tokens.NewCache(store, 1), connections: accounts.NewShared(), catalog: catalog.New(), pins: pins.New(),
	}
	t.Cleanup(state.Release)
	t.Cleanup(state.connections.Close)
	at := func(publicURL string) *mcp.Sessions {
		h := &Handler{
			Site: config.Site{
				PublicURL: publicURL, Identities: []config.Identity{{Kind: "anonymous"}},
				Servers: []*config.Server{{ID: "a", Path: "/mcp", Upstream: "http://127.0.0.1:1/mcp"}},
			},
			log: zap.NewNop(), app: new(App), events: event.NewRecorder(event.Options{Now: time.Now}),
			forwarders: []gateway.Forwarder{new(stub)},
		}
		if h.cfg, err = h.Resolve(placeholders.Replace); err != nil {
			t.Fatal(err)
		}
		if err := h.brand(); err != nil {
			t.Fatal(err)
		}
		s, _ := newSite(h, state, keys)
		e, _ := s.routes.Find("/mcp")
		return e.Server.Site.Sessions
	}
	wrapped := at("https://one.example").Wrap("vk:alice", "a", "session")
	if _, ok := at("https://one.example").Unwrap("vk:alice", "a", wrapped); !ok {
		t.Error("a session ends with a reload")
	}
	if _, ok := at("https://two.example").Unwrap("vk:alice", "a", wrapped); ok {
		t.Error("a session of one site is one of the other")
	}
}
