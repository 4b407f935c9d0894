package caddymodule

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// starts numbers the configurations in the order in which they were started.
var starts atomic.Uint64

// storeGrace is how long a configuration that stops waits for a store that may be
// away, for what is of little worth.
const storeGrace = 2 * time.Second

// liveInterval is how often a configuration that was started looks whether it
// serves by now: Caddy tells nobody, and one app that cannot start refuses it.
const liveInterval = 100 * time.Millisecond

// Stop is called when another configuration has taken over, when this one was
// refused, and when Caddy ends. Requests outlive it. In the first case what was
// withdrawn ends before the reload is done: by this configuration, should it not
// have come to that yet, and then by the next.
func (a *App) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), storeGrace)
	defer cancel()
	a.saveKeyUses(ctx)
	a.mu.Lock()
	state := a.state
	a.mu.Unlock()
	if state != nil {
		state.saveTraces(ctx, a.sites.all(), lastTraces, 0)
	}
	if next := activeApp(); next != nil && next.started > a.started {
		a.endWithdrawn()
		next.endWithdrawn()
	}
	return nil
}

// endWithdrawnWhenLive ends what was withdrawn once the configuration serves,
// and its store is open, as when Caddy starts. A store that fails then is tried
// again with growing pauses: each failure is a line in the log.
func (a *App) endWithdrawnWhenLive() {
	for pause := liveInterval; ; {
		select {
		case <-a.ctx.Done():
			return
		case <-time.After(pause):
		}
		if activeApp() != a || len(a.sites.all()) == 0 {
			continue
		}
		if a.endWithdrawn() {
			return
		}
		pause = min(2*pause, longestWait)
	}
}

// endWithdrawn reports whether all that was withdrawn has ended. After a
// failure it can be called again.
func (a *App) endWithdrawn() (done bool) {
	a.ending.Lock()
	defer a.ending.Unlock()
	sites := a.sites.all()
	if a.ended || len(sites) == 0 {
		return a.ended
	}
	survive(context.Background(), func(ctx context.Context) {
		for _, s := range sites {
			if err := s.as.Withdrawals.End(ctx); err != nil {
				a.storeFailed("ending what was withdrawn from the configuration", err)
				return
			}
			if err := errors.Join(s.keys.Refresh(ctx), s.keys.End(ctx)); err != nil {
				a.storeFailed("looking after the virtual keys", err)
				return
			}
		}
		a.ended = true
	})
	return a.ended
}

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
		state.Streams.Close(gateway.StopGrace)
	}
	time.AfterFunc(gateway.StopGrace, s.app.conns.Close)
	return nil
}

// saveKeyUses stores when virtual keys were last used.
func (a *App) saveKeyUses(ctx context.Context) {
	if err := a.virtualKeys.SaveUses(ctx); err != nil && ctx.Err() == nil {
		a.storeFailed("storing when virtual keys were last used", err)
	}
}

// storeFailed records that the store failed at something that is done again.
func (a *App) storeFailed(what string, err error) {
	if storage.Unreachable(err) {
		return // the log has heard of it, see reached
	}
	a.events.Record(context.Background(), storeFailure(what, err))
}

func storeFailure(what string, err error) event.Event {
	return event.Event{Kind: event.StoreFailed, Detail: what, Err: err}
}

// reached is told by the store when it cannot be reached, and when it can again.
func (p *processState) reached(cause error, lasted time.Duration) {
	if cause == nil {
		p.away.Store(nil)
		p.record(event.Event{Kind: event.StoreRecovered, Detail: "It could not be reached for " + lasted.Round(time.Millisecond).String() + "."})
		return
	}
	p.away.Store(&cause)
	p.record(event.Event{
		Kind: event.StoreUnreachable, Err: cause,
		Detail: "Sign-ins and refreshes are answered 503; calls and streams go on for stale_for. It is looked for all the time.",
	})
}

// storeFailed records that something failed which is tried again, unless the log
// has heard of it from reached.
func (p *processState) storeFailed(what string, err error) {
	if !storage.Unreachable(err) {
		p.record(storeFailure(what, err))
	}
}

// record records an event where the configuration that serves does. While none
// serves, the log still has it.
func (p *processState) record(e event.Event) {
	if active := p.active(); active != nil {
		active.events.Record(context.Background(), e)
		return
	}
	log := event.NewLog(caddy.Log().Named(appName))
	event.NewRecorder(event.Options{Now: time.Now}, log).Record(context.Background(), e)
}

// lastReport is what the log was told of something that may last.
type lastReport struct {
	mu   sync.Mutex // a configuration that stops may report, too
	text string
	at   time.Time
}

// due reports whether the log is to be told: of what is new, and of what lasts
// now and then.
func (l *lastReport) due(err error, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.text = ""
		return false
	}
	if err.Error() == l.text && now.Sub(l.at) < reminder {
		return false
	}
	l.text, l.at = err.Error(), now
	return true
}
