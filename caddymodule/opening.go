package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/metrics"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/selfcheck"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/reseal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

const (
	firstRetry  = time.Second
	longestWait = 30 * time.Second
	// reminder is how often the log says again that a site does not serve.
	reminder = time.Minute
)

var errUnfinished = errors.New("opening the store panicked; see the log")

// Start opens the store and the keys. If it cannot when Caddy starts, Caddy's
// other sites serve all the same; ours answer 503, and come when it can. On a
// reload it stops the new configuration, and the old one keeps serving. A second
// Caddy on the same database, with nothing else to serve, does not start.
func (a *App) Start() error {
	if err := a.checkNeighbours(); err != nil {
		return err
	}
	a.started = starts.Add(1)
	go a.emitter.Run(func() bool { return activeApp() == a })
	err := a.openSites()
	if err == nil {
		err = checkSites(a, true)
		if err == nil {
			go a.endWithdrawnWhenLive()
		}
		return err
	}
	if servesAlready() || errors.Is(err, storage.ErrInUse) && !a.servesOthers() {
		return err
	}
	go a.endWithdrawnWhenLive()
	a.tellFailure(err)
	ctx, cancel := context.WithCancel(context.Background())
	a.mu.Lock()
	a.failure, a.retrying = err, cancel
	a.mu.Unlock()
	go a.retry(ctx)
	return nil
}

// servesAlready reports whether a configuration is at work that a new one could
// spoil: not one whose own store cannot be opened.
func servesAlready() bool {
	if caddy.ActiveContext().Context == nil { // the process starts
		return false
	}
	old := activeApp()
	return old == nil || old.cause() == nil
}

// cause returns why the store is not open and will be tried again, or nil.
func (a *App) cause() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failure
}

// Why sign-ins and calls cannot be answered.
var (
	errNoSite   = errors.New("no site with mcp_oauth is configured")
	errStopping = errors.New("Caddy is stopping")
	errNotOpen  = errors.New("the store is being opened")
)

// readiness returns why sign-ins and calls cannot be answered now, or nil.
func readiness() error {
	app := activeApp()
	if app == nil {
		return errNoSite
	}
	if caddy.Exiting() {
		return errStopping
	}
	app.mu.Lock()
	state, failure, unfit := app.state, app.failure, app.unfit
	app.mu.Unlock()
	switch {
	case failure != nil:
		return failure
	case state == nil:
		return errNotOpen
	case unfit != nil:
		return unfit
	}
	for _, failure := range []*error{state.away.Load(), state.unwell.Load()} {
		if failure != nil {
			return *failure
		}
	}
	return state.instances.Problem()
}

// counts are the metrics of the process.
var counts = metrics.New(measured)

func (a *App) tellFailure(err error) {
	a.events.Record(context.Background(), event.Event{
		Kind: event.SiteUnavailable, Reason: "starting", Err: err,
		Detail: "The store or its key; the sites with mcp_oauth answer 503 until it can be opened, which is tried again and again.",
	})
}

// retry opens what could not be opened, with growing pauses.
func (a *App) retry(ctx context.Context) {
	var told lastReport
	told.due(a.cause(), time.Now())
	for pause := firstRetry; ; pause = min(2*pause, longestWait) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		err := errUnfinished
		survive(ctx, func(context.Context) { err = a.openSites() })
		if err == nil {
			survive(ctx, func(context.Context) { _ = checkSites(a, false) }) // which logs what it found
			return
		}
		if ctx.Err() == nil && told.due(err, time.Now()) {
			a.tellFailure(err)
		}
	}
}

// openSites opens what all sites share, and builds them.
func (a *App) openSites() error {
	if _, _, err := a.openShared(); err != nil {
		return err
	}
	for _, h := range a.sites.handlers {
		if _, err := h.open(); err != nil {
			return err
		}
		h.prepareSigning()
	}
	return nil
}

// checkSites looks at every site as its clients will see it, and announces those that
// work. It refuses a configuration that cannot, if there is still time for that.
func checkSites(a *App, refuse bool) error {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return nil // without it there are no handlers
	}
	reports := map[*Handler]*selfcheck.Report{}
	for _, h := range a.sites.handlers {
		if a.sites.first(h) != h {
			continue
		}
		reports[h] = selfcheck.Run(a.ctx, app.(*caddyhttp.App), selfcheck.Site{
			Config: h.cfg, Serve: h.serveAlone, Locate: func(directives []string) string { return adapted.locateBeside(h, directives) },
			Is: func(other caddyhttp.MiddlewareHandler) bool {
				copied, ok := other.(*Handler)
				return ok && copied.cfg.Issuer == h.cfg.Issuer
			},
		})
		if err := reports[h].Refusal(); err != nil {
			err = fmt.Errorf("%s cannot work: %w", h.cfg.Issuer, err)
			if refuse {
				return err
			}
			a.mu.Lock()
			a.unfit = err
			a.mu.Unlock()
		}
	}
	for _, h := range a.sites.handlers {
		if r := reports[h]; r != nil {
			r.Log(h.cfg.Issuer, h.log)
			h.announce(r)
		}
	}
	return nil
}

// open returns what the process shares, and the keys. Caddy starts apps in
// random order, so a request can come before Start. While a retry is due, no
// request waits for it.
func (a *App) open() (*processState, *seal.Keyring, error) {
	a.mu.Lock()
	state, keyring, failure := a.state, a.keyring, a.failure
	a.mu.Unlock()
	if state != nil || failure != nil {
		return state, keyring, failure
	}
	return a.openShared()
}

// openShared opens unless it is done. Requests outlive Cleanup, after which
// nothing is opened again.
func (a *App) openShared() (*processState, *seal.Keyring, error) {
	a.opening.Lock()
	defer a.opening.Unlock()
	a.mu.Lock()
	state, keyring, released := a.state, a.keyring, a.released
	a.mu.Unlock()
	switch {
	case state != nil:
		return state, keyring, nil
	case released:
		return nil, nil, storage.ErrClosed
	}
	value, _, err := processStates.LoadOrNew(a.poolKey(), func() (caddy.Destructor, error) {
		store, err := a.opener.Open(a.ctx)
		if err != nil {
			return nil, err
		}
		return newProcessState(store, activeApp), nil
	})
	if err != nil {
		return nil, nil, a.failed(err)
	}
	state = value.(*processState)
	if keyring, err = a.newKeyring(state); err == nil {
		err = a.join(state, keyring)
	}
	if err == nil {
		err = a.keep(state, keyring)
	}
	if err != nil {
		_, _ = processStates.Delete(a.poolKey())
		return nil, nil, a.failed(err)
	}
	return state, keyring, nil
}

// keep makes what was opened known, unless Cleanup came meanwhile.
func (a *App) keep(state *processState, keyring *seal.Keyring) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return storage.ErrClosed
	}
	a.state, a.keyring, a.failure = state, keyring, nil
	resealer := reseal.New(state.store, keyring, time.Now)
	if state.instances != nil { // which decide together
		resealer = reseal.Follow(state.store, keyring, time.Now)
	}
	a.rotation = rotation.New(resealer, keyring, keySources(a.EncryptionKeys, a.opener.Durable()), longestToken(a.sites.handlers), a.log, storage.NowOf(state.store, time.Now))
	return nil
}

// failed remembers the newest cause while it is tried again and again.
func (a *App) failed(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failure != nil {
		a.failure = err
	}
	return err
}
