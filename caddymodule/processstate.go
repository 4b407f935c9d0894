package caddymodule

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/instances"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/metrics"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/process"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	tokenCacheSize = 1 << 16

	sweepInterval   = time.Minute
	revokeInterval  = time.Minute
	renewInterval   = 10 * time.Second
	recheckInterval = 5 * time.Second
	checkInterval   = 5 * time.Second
	keysInterval    = 2 * time.Second
	usesInterval    = time.Minute
	resealInterval  = 250 * time.Millisecond
	tracesInterval  = 5 * time.Second
	catalogInterval = time.Second
	followInterval  = time.Second // between failures to begin
)

// processStates holds one processState per store, by App.poolKey. Caddy starts a
// new configuration before it stops the old one, and a bbolt file can be opened
// only once.
var processStates = process.NewPool[*processState]()

// processState is an open store, what is cached of it, and what the process does
// with it. It outlives a reload, and keeps nothing of any configuration, not even
// a logger.
type processState struct {
	*process.Process
	store          storage.Store
	limiter        *ratelimit.Limiter   // of the process, which counts in the store too if that is shared
	instances      *instances.Instances // on the store; nil where there can be only one
	tokens         *tokens.Cache
	connections    *accounts.Shared
	virtualKeys    virtualkeys.Known
	catalog        *catalog.Catalog
	pins           *pins.Pins
	active         func() *App // of the configuration that serves now, or nil
	reported       lastReport  // about the store
	reportedKeys   lastReport  // about the virtual keys
	reportedPeople lastReport  // about people of identity providers
	reportedEnds   lastReport  // about what rested on keys that are gone
	reportedSeals  lastReport  // about sealing anew
	reportedTraces lastReport  // about traces of what failed
	reportedOffers lastReport  // about what MCP servers offer
	reportedOthers lastReport  // about other instances
	// reportedChanges is about looking for what other instances changed.
	reportedChanges lastReport
	usage           metrics.Usage
	away            atomic.Pointer[error] // why the store cannot be reached, see reached; nil if it can
	unwell          atomic.Pointer[error] // what checkStore found last; nil for nothing

	stop context.CancelFunc
	done sync.WaitGroup
}

// newProcessState returns what works on the store, which it closes in the end.
func newProcessState(store storage.Store, active func() *App) *processState {
	ctx, stop := context.WithCancel(context.Background())
	p := &processState{
		Process:     process.Acquire(),
		store:       store,
		tokens:      tokens.NewCache(store, tokenCacheSize),
		connections: accounts.NewShared(),
		catalog:     catalog.New(),
		pins:        pins.New(),
		active:      active,
		stop:        stop,
	}
	if remote, ok := store.(storage.RemoteStore); ok {
		remote.OnReach(p.reached)
	}
	p.limiter = p.Limiter
	if rates, ok := store.(storage.RateStore); ok {
		p.limiter = p.Limiter.SharedBy(rates)
	}
	if shared, ok := store.(instances.Store); ok {
		p.instances = instances.New(shared, adminapi.OwnVersion(), time.Now)
		p.done.Go(func() { every(ctx, instances.Interval, p.announce) })
	}
	p.done.Go(func() { every(ctx, sweepInterval, p.sweep) })
	p.done.Go(func() { every(ctx, recheckInterval, p.recheck) })
	p.done.Go(func() { every(ctx, revokeInterval, p.revoke) })
	p.done.Go(func() { every(ctx, renewInterval, p.renew) })
	p.done.Go(func() { every(ctx, checkInterval, p.checkStore) })
	p.done.Go(func() { every(ctx, keysInterval, p.refreshKeys) })
	p.done.Go(func() { every(ctx, keysInterval, p.endOfKeys) }) // apart: it can take long
	p.done.Go(func() { every(ctx, usesInterval, p.saveKeyUses) })
	p.done.Go(func() { every(ctx, resealInterval, p.reseal) })
	p.done.Go(func() { every(ctx, tracesInterval, p.saveServingTraces) })
	p.done.Go(func() { every(ctx, catalogInterval, p.syncOffers) })
	if shared, ok := store.(storage.Watcher); ok {
		p.follow(ctx, shared)
	}
	return p
}

// Destruct ends what is left when no configuration uses the database any more.
func (p *processState) Destruct() error {
	p.stop()
	p.done.Wait()
	p.Release()
	p.connections.Close()
	if p.instances != nil {
		ctx, cancel := context.WithTimeout(context.Background(), storeGrace)
		defer cancel()
		_ = p.instances.Leave(ctx) // else it is forgotten soon
	}
	return p.store.Close()
}

func (p *processState) sweep(ctx context.Context) {
	if _, err := p.store.Sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
		p.storeFailed("removing records whose time is over", err)
	}
}

// recheck ends the answers whose callers would not pass any more. One that was
// begun under an earlier configuration is judged by the one that serves now:
// one that took the MCP server away ends them too.
func (p *processState) recheck(ctx context.Context) { p.Streams.Recheck(ctx, p.serving()) }

func (p *processState) serving() gateway.Serving {
	active := p.active()
	if active == nil {
		return nil
	}
	return active.sites.server
}

// revoke tells providers what people disconnected.
func (p *processState) revoke(ctx context.Context) {
	active := p.active()
	if active == nil || !active.worksOn(p) {
		return
	}
	var sites sync.WaitGroup
	for _, s := range active.sites.connecting() {
		sites.Go(func() { // the provider of one site may hang
			survive(ctx, func(ctx context.Context) {
				if err := s.broker.RevokeDue(ctx); err != nil && ctx.Err() == nil {
					p.storeFailed("telling providers what to revoke", err)
				}
			})
		})
	}
	sites.Wait()
}

// refreshKeys makes virtual keys what they are by now, in the store and in files.
func (p *processState) refreshKeys(ctx context.Context) {
	active := p.active()
	if active == nil || !active.worksOn(p) {
		return
	}
	err := active.virtualKeys.Refresh(ctx)
	if ctx.Err() == nil && p.reportedKeys.due(err, time.Now()) {
		p.storeFailed("looking after the virtual keys", err)
	}
}

// endOfKeys ends what rested on virtual keys that are gone.
func (p *processState) endOfKeys(ctx context.Context) {
	active := p.active()
	if active == nil || !active.worksOn(p) {
		return
	}
	err := active.virtualKeys.End(ctx)
	if ctx.Err() == nil && p.reportedEnds.due(err, time.Now()) {
		p.storeFailed("ending what was approved with virtual keys that are gone", err)
	}
}

// saveKeyUses stores when virtual keys were last used.
func (p *processState) saveKeyUses(ctx context.Context) {
	if active := p.active(); active != nil && active.worksOn(p) {
		active.saveKeyUses(ctx)
	}
}

// reseal seals anew what older encryption keys have sealed.
func (p *processState) reseal(ctx context.Context) {
	active := p.active()
	if active == nil || !active.worksOn(p) {
		return
	}
	err := rotationOf(active).Turn(ctx)
	if err != nil && ctx.Err() == nil && p.reportedSeals.due(err, time.Now()) {
		caddy.Log().Named(appName).Error("sealing records with the first encryption_key failed; it is tried again", zap.Error(err))
	}
}

// renew asks identity providers whether people may still sign in there.
func (p *processState) renew(ctx context.Context) {
	active := p.active()
	if active == nil || !active.worksOn(p) {
		return
	}
	sites := active.sites.all()
	failed := make([]error, len(sites))
	var all sync.WaitGroup
	for i, s := range sites {
		all.Go(func() { // the provider of one site may hang
			survive(ctx, func(ctx context.Context) { failed[i] = s.as.Persons.RenewDue(ctx) })
		})
	}
	all.Wait()
	if err := errors.Join(failed...); ctx.Err() == nil && p.reportedPeople.due(err, time.Now()) {
		p.storeFailed("asking identity providers about people", err)
	}
}

// checkStore tells when what is stored may be lost, or cannot be stored.
func (p *processState) checkStore(ctx context.Context) {
	err := p.store.Check(ctx)
	if storage.Unreachable(err) {
		return // see reached
	}
	if err == nil {
		if p.unwell.Swap(nil) != nil {
			p.record(event.Event{Kind: event.StoreRecovered, Detail: "What is to be stored is stored again."})
		}
	} else {
		p.unwell.Store(&err)
	}
	if p.reported.due(err, time.Now()) {
		p.storeFailed("keeping what is stored", err)
	}
}

// every calls f at the interval until the context ends. A panic of f is
// logged: nobody else would catch it, and it would end Caddy with all its sites.
func every(ctx context.Context, interval time.Duration, f func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			survive(ctx, f)
		}
	}
}

func survive(ctx context.Context, f func(context.Context)) {
	defer func() {
		if p := recover(); p != nil {
			caddy.Log().Named(appName).Error("a background task panicked", zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	f(ctx)
}
