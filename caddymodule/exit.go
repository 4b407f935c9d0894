package caddymodule

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
)

// endStreamsOnExit subscribes to Caddy's "stopping" event. The HTTP server
// waits for open responses before any app is cleaned up, and an event stream
// never ends by itself, nor a call to a server that does not answer: without
// this, `caddy stop` would hang. On a reload they stay. Events and Exiting are
// experimental in Caddy; this file is all that uses them.
func (a *App) endStreamsOnExit(ctx caddy.Context) error {
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	return events.(*caddyevents.App).On("stopping", stopping{a})
}

type stopping struct{ app *App }

// Handle implements caddyevents.Handler.
func (s stopping) Handle(context.Context, caddy.Event) error {
	if !caddy.Exiting() {
		return nil
	}
	s.app.mu.Lock()
	state := s.app.state
	s.app.mu.Unlock()
	if state != nil {
		state.streams.Close(gateway.StopGrace)
	}
	time.AfterFunc(gateway.StopGrace, s.app.conns.Close)
	return nil
}
