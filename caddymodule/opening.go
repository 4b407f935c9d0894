package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/metrics"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/process"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
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
	// progressInterval is how often the log says how far a long opening is.
	progressInterval = 5 * time.Second
)

var errUnfinished = errors.New("opening the store panicked; see the log")

// Start opens the store and the keys. If it cannot when Caddy starts, or that takes
// long, Caddy's other sites serve all the same; ours answer 503, and come when it can.
// On a reload it stops the new configuration, and the old one keeps serving. A second
// Caddy on the same database, with nothing else to serve, does not start.
func (a *App) Start() error {
	if err := a.checkNeighbours(); err != nil {
		return err
	}
	a.started = starts.Add(1)
	go a.emitter.Run(func() bool { return activeApp() == a })
	o := a.beginOpening()
	select {
	case <-o.done:
	case <-o.slow:
		if !servesAlready() {
			go a.endWithdrawnWhenLive()
			go a.retry(a.retryable(), 0)
			return nil
		}
	}
	err := a.openSites(o)
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
	a.mu.Lock()
	a.failure = err
	a.mu.Unlock()
	go a.retry(a.retryable(), firstRetry)
	return nil
}

// retryable returns a context that ends with the configuration.
func (a *App) retryable() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	a.mu.Lock()
	a.retrying = cancel
	a.mu.Unlock()
	return ctx
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

// counts are the metrics of the process.
var counts = metrics.New(measured)

func (a *App) tellFailure(err error) {
	a.events.Record(context.Background(), event.Event{
		Kind: event.SiteUnavailable, Reason: "starting", Err: err,
		Detail: "The store or its key; the sites with mcp_oauth answer 503 until it can be opened, which is tried again and again.",
	})
}

// retry opens what could not be opened, or is being opened, with growing pauses.
func (a *App) retry(ctx context.Context, pause time.Duration) {
	var told lastReport
	told.due(a.cause(), time.Now())
	for ; ; pause = min(max(2*pause, firstRetry), longestWait) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		err := errUnfinished
		survive(ctx, func(context.Context) { err = a.openSites(a.beginOpening()) })
		if err == nil {
			survive(ctx, func(context.Context) { _ = checkSites(a, false) }) // which logs what it found
			return
		}
		if ctx.Err() == nil && told.due(err, time.Now()) {
			a.tellFailure(err)
		}
	}
}

// openSites waits until what all sites share is open, and builds them.
func (a *App) openSites(o *opening) error {
	<-o.done
	if o.err != nil {
		return o.err
	}
	for _, h := range a.sites.handlers {
		if _, err := h.open(); err != nil {
			return err
		}
		h.prepareSigning()
	}
	return nil
}

// open returns what the process shares, and the keys. Caddy starts apps in
// random order, so a request can come before Start. While a retry is due, or the
// opening takes long, no request waits for it.
func (a *App) open() (*processState, *seal.Keyring, error) {
	a.mu.Lock()
	state, keyring, failure := a.state, a.keyring, a.failure
	a.mu.Unlock()
	if state != nil || failure != nil {
		return state, keyring, failure
	}
	o := a.beginOpening()
	select {
	case <-o.done:
		return o.state, o.keyring, o.err
	case <-o.slow:
		return nil, nil, errNotOpen
	}
}

// opening is one attempt to open what the process shares.
type opening struct {
	slow    chan struct{} // closed when it turns out to take long
	done    chan struct{} // closed at its end, after which the others are set
	state   *processState
	keyring *seal.Keyring
	err     error
}

// beginOpening returns the attempt that is under way, or a new one.
func (a *App) beginOpening() *opening {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.opening != nil {
		return a.opening
	}
	o := &opening{slow: make(chan struct{}), done: make(chan struct{}), err: errUnfinished}
	a.opening = o
	go func() {
		survive(a.ctx, func(ctx context.Context) { o.state, o.keyring, o.err = a.openShared(ctx, o) })
		a.mu.Lock()
		a.opening = nil
		a.mu.Unlock()
		close(o.done)
	}()
	return o
}

// openStore opens the store for all configurations that share it. It outlives this one.
func (a *App) openStore(ctx context.Context, progress func(percent int64)) (state *processState, err error) {
	var mu sync.Mutex
	var logged time.Time
	ctx = storage.WithOpeningProgress(ctx, func(done, total int64) error {
		percent := 100 * done / max(total, 1)
		progress(percent)
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(logged) >= progressInterval {
			logged = now
			caddy.Log().Named(appName).Info("opening the store; the sites with mcp_oauth answer 503 until it is open", zap.String("store", a.storeName()), zap.Int64("percent", percent))
		}
		return ctx.Err()
	})
	err = errUnfinished
	survive(ctx, func(ctx context.Context) {
		var store storage.Store
		if store, err = a.opener.Open(ctx); err == nil {
			state = newProcessState(store, activeApp)
		}
	})
	return state, err
}

// beingOpened is why a store is not open while its opening takes long.
type beingOpened struct{ *process.Shared[*processState] }

func (b beingOpened) Error() string { return fmt.Sprintf("%v, %d %% is done", errNotOpen, b.Percent()) }
func (beingOpened) Unwrap() error   { return errNotOpen }

// openShared opens unless it is done. Requests outlive Cleanup, after which
// nothing is opened again.
func (a *App) openShared(ctx context.Context, o *opening) (*processState, *seal.Keyring, error) {
	a.mu.Lock()
	state, keyring, released := a.state, a.keyring, a.released
	a.mu.Unlock()
	switch {
	case state != nil:
		return state, keyring, nil
	case released:
		return nil, nil, storage.ErrClosed
	}
	shared := processStates.Join(a.poolKey(), a.openStore)
	state, err := shared.Wait(ctx, func() { // requests are answered 503 at once from now on
		a.mu.Lock()
		a.failure = beingOpened{shared}
		a.mu.Unlock()
		close(o.slow)
	})
	if err == nil {
		keyring, err = a.newKeyring(state)
	}
	if err == nil {
		err = a.join(state, keyring)
	}
	if err == nil {
		err = a.keep(shared, state, keyring)
	}
	if err != nil {
		_ = shared.Leave()
		return nil, nil, a.failed(err)
	}
	return state, keyring, nil
}

// keep makes what was opened known, unless Cleanup came meanwhile.
func (a *App) keep(shared *process.Shared[*processState], state *processState, keyring *seal.Keyring) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return storage.ErrClosed
	}
	a.shared, a.state, a.keyring, a.failure = shared, state, keyring, nil
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
