package caddymodule

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// starts numbers the configurations in the order in which they were started.
var starts atomic.Uint64

// liveInterval is how often a configuration that was started looks whether it
// serves by now: Caddy tells nobody, and one app that cannot start refuses it.
const liveInterval = 100 * time.Millisecond

// Stop is called when another configuration has taken over, when this one was
// refused, and when Caddy ends. Requests outlive it. In the first case what was
// withdrawn ends before the reload is done: by this configuration, should it not
// have come to that yet, and then by the next.
func (a *App) Stop() error {
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
		if activeApp() != a || len(a.allSites()) == 0 {
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
	sites := a.allSites()
	if a.ended || len(sites) == 0 {
		return a.ended
	}
	survive(context.Background(), func(ctx context.Context) {
		for _, s := range sites {
			if err := s.as.Withdrawals.End(ctx); err != nil {
				a.log.Error("ending what was withdrawn from the configuration failed; it is tried again", zap.Error(err))
				return
			}
		}
		a.ended = true
	})
	return a.ended
}
