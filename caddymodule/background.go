package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/propagation"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

const (
	// savedTraces bounds how many traces of a site are stored at once; the others are
	// at the next time. Anybody can fail.
	savedTraces = 4
	// savePause is how long a trace that goes on is left alone.
	savePause = time.Minute
	// lastTraces is savedTraces when the configuration stops.
	lastTraces = 64
)

// saveServingTraces stores the traces of what failed at the sites that serve now.
func (p *processState) saveServingTraces(ctx context.Context) {
	if active := p.active(); active != nil && active.worksOn(p) {
		p.saveTraces(ctx, active.sites.all(), savedTraces, savePause)
	}
}

// saveTraces stores traces of what failed at the sites, some of each, and none that
// was stored within the pause.
func (p *processState) saveTraces(ctx context.Context, sites []*site, some int, pause time.Duration) {
	var failed []error
	now := time.Now()
	for _, s := range sites {
		traces := p.Traces.Unsaved(s.as.Config().Issuer, some, now.Add(-pause))
		if len(traces) == 0 {
			continue
		}
		if err := s.archive.Save(ctx, traces); err != nil {
			failed = append(failed, err)
			continue
		}
		p.Traces.Saved(traces, now)
	}
	if err := errors.Join(failed...); ctx.Err() == nil && p.reportedTraces.due(err, now) {
		caddy.Log().Named(appName).Error("storing how sign-ins failed was not possible; it is tried again", zap.Error(err))
	}
}

// syncOffers makes what is known of the servers that serve now, and what is stored of
// them, the same.
func (p *processState) syncOffers(ctx context.Context) {
	active := p.active()
	if active == nil || !active.worksOn(p) {
		return
	}
	var failed []error
	for _, h := range active.sites.handlers {
		if active.sites.first(h) != h { // a copy
			continue
		}
		h.warnOfUnmatched(func(server string) *catalog.Server { return p.catalog.Of(h.cfg.Issuer, server) })
	}
	for _, s := range active.sites.all() {
		for _, offers := range s.offers {
			failed = append(failed, offers.Sync(ctx, s.kept))
		}
		for _, pinned := range s.pinned {
			failed = append(failed, pinned.Sync(ctx, s.kept))
		}
	}
	if err := errors.Join(failed...); ctx.Err() == nil && p.reportedOffers.due(err, time.Now()) {
		p.storeFailed("keeping what MCP servers offer", err)
	}
}

// follow applies what other processes on the store change.
func (p *processState) follow(ctx context.Context, shared storage.Watcher) {
	changes := &propagation.Process{
		Store: shared, Tokens: p.tokens, Connections: p.connections, StepUps: p.StepUps, Streams: p.Streams, Elicitations: p.Elicitations,
		RefreshKeys: p.refreshKeys, ForgetValue: p.forgetValue, Serving: p.serving,
		Failed: func(err error) {
			if p.reportedChanges.due(err, time.Now()) {
				p.storeFailed("looking for what other instances changed", err)
			}
		},
		Late: tellLate,
	}
	changes.Begin()
	p.done.Go(func() { every(ctx, followInterval, changes.Follow) })
	p.done.Go(func() { every(ctx, followInterval, changes.Talk) })
}

// forgetValue has a site value read anew that is remembered, or all of them.
func (p *processState) forgetValue(issuer, name string) {
	if server, ok := sealed.CatalogOf(name); ok || name == "" {
		p.catalog.Changed(issuer, server)
	}
	if server, ok := sealed.PinsOf(name); ok || name == "" {
		p.pins.Changed(issuer, server)
	}
	if server, person, ok := sealed.ApprovalsOf(name); ok || name == "" {
		p.pins.PersonChanged(issuer, server, person)
	}
	if name == sealed.SigningKeysName || name == "" {
		p.forgetSigningKeys(issuer)
	}
}

// forgetSigningKeys has the signing keys of an issuer read anew, or of all issuers.
func (p *processState) forgetSigningKeys(issuer string) {
	active := p.active()
	if active == nil || !active.worksOn(p) {
		return
	}
	for _, s := range active.sites.all() {
		if s.as.Signing != nil && (issuer == "" || issuer == s.as.Config().Issuer) {
			s.as.Signing.Forget()
		}
	}
}

// tellLate tells once that other instances' changes arrive late, and when they do no
// more.
func tellLate(why error) {
	log := caddy.Log().Named(appName)
	if why == nil {
		log.Info("changes by other instances on the same store arrive at once again")
		return
	}
	log.Warn("changes by other instances on the same store arrive late: they are looked for every few seconds", zap.Duration("at_most", storage.WatchInterval), zap.Error(why))
}
