package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
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
		p.saveTraces(ctx, active.allSites(), savedTraces, savePause)
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
