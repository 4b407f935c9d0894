// Package emitter hands what happens at the sites to Caddy's own events, where
// operators subscribe handlers to it: `events { on mcp_oauth.sign_in.refused … }`.
//
// Handlers may do anything, and take their time. They run one after the other, beside
// what the event is about: nobody waits for them, and none can change what was
// decided.
package emitter

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// Prefix is what the names of all events begin with, before their kind.
const Prefix = "mcp_oauth."

// maxWaiting is how many events may wait for the handlers of those before.
const maxWaiting = 1024

func init() {
	caddy.RegisterModule(new(Emitter))
}

// Emitter hands events to Caddy's. It is a module for them to have an origin.
type Emitter struct {
	ctx     caddy.Context // its own: what else is provisioned changes who another one is of
	app     *caddyevents.App
	waiting chan event.Event
	dropped atomic.Int64 // since it was last told
	events  *event.Recorder
}

// New returns an emitter of a configuration. That events had to be dropped is
// recorded with events.
func New(ctx caddy.Context, events *event.Recorder) (*Emitter, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, err
	}
	own, cancel := caddy.NewContext(ctx)
	module, err := own.LoadModuleByID("mcp_oauth.events", nil)
	if err != nil {
		cancel()
		return nil, err
	}
	context.AfterFunc(ctx, cancel)
	e := module.(*Emitter)
	e.app, e.events = app.(*caddyevents.App), events
	return e, nil
}

// CaddyModule returns the Caddy module information.
func (*Emitter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "mcp_oauth.events", New: func() caddy.Module {
		return &Emitter{waiting: make(chan event.Event, maxWaiting)}
	}}
}

// Provision implements caddy.Provisioner.
func (e *Emitter) Provision(ctx caddy.Context) error {
	e.ctx = ctx
	return nil
}

// Record implements event.Sink.
func (e *Emitter) Record(happened *event.Event) {
	select {
	case e.waiting <- *happened:
	default:
		e.dropped.Add(1)
	}
}

// liveInterval is how often is looked whether the configuration serves by now.
const liveInterval = 100 * time.Millisecond

// Run hands over events from when the configuration serves until it ends. Before,
// Caddy's events may not have started.
func (e *Emitter) Run(serves func() bool) {
	for !serves() {
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(liveInterval):
		}
	}
	for {
		select {
		case <-e.ctx.Done():
			return
		case happened := <-e.waiting:
			e.emit(&happened)
		}
	}
}

func (e *Emitter) emit(happened *event.Event) {
	name := Prefix + happened.Kind.String()
	if e.app.ShouldEmit(name) {
		data := zapcore.NewMapObjectEncoder()
		for _, f := range happened.Fields() {
			f.AddTo(data)
		}
		data.AddTime("time", happened.Time)
		e.app.Emit(e.ctx, name, data.Fields)
	}
	if n := e.dropped.Swap(0); n > 0 {
		e.events.Record(context.Background(), event.Event{Kind: event.HandlersTooSlow, Count: int(n)})
	}
}
