package ratelimit

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// sharedWait bounds how long somebody waits for the store to count an event.
	sharedWait = 500 * time.Millisecond
	// sharedPause is for how long a store that failed, or was slow, is not asked.
	sharedPause = 2 * time.Second
)

// shared is where events are counted that count for all processes on a store.
type shared struct {
	rates       storage.RateStore
	pausedUntil atomic.Int64 // Unix nanoseconds
}

// SharedBy returns a limiter that remembers what this one does, and that has the
// limits that AllowShared counts hold for all processes that work on the store.
func (l *Limiter) SharedBy(rates storage.RateStore) *Limiter {
	return &Limiter{memory: l.memory, shared: &shared{rates: rates}}
}

// AllowShared is AllowFor for a limit that protects more than this process: a
// provider, somebody's secret, what is stored. Where processes share a store that
// counts for all of them, it lets no more events through than one process alone.
//
// What this process has refused by itself is not counted there, so a flood costs
// the store no more than the limit. While the store does not answer, this
// process's own count decides.
func (l *Limiter) AllowShared(ctx context.Context, kind, address, what string, perMinute int) bool {
	return l.allowShared(ctx, count{kind, address, what, perMinute})
}

// count is one limit that an event counts towards.
type count struct {
	kind, address, what string
	perMinute           int
}

// allowShared is AllowShared for an event with several limits: the store counts it
// towards all of them or none.
func (l *Limiter) allowShared(ctx context.Context, all ...count) bool {
	var rates []storage.Rate
	for _, c := range all {
		if !l.AllowFor(c.kind, c.address, c.what, c.perMinute) {
			return false
		}
		if c.perMinute > 0 {
			rates = append(rates, Rates(c.kind, c.address, c.what, c.perMinute)...)
		}
	}
	s, now := l.shared, l.Now()
	if s == nil || len(rates) == 0 || now.UnixNano() < s.pausedUntil.Load() {
		return true
	}
	limited, cancel := context.WithTimeout(ctx, sharedWait)
	defer cancel()
	allowed, err := s.rates.TakeRates(limited, rates)
	if err != nil {
		if ctx.Err() == nil {
			s.pausedUntil.Store(now.Add(sharedPause).UnixNano())
		}
		return true
	}
	return allowed
}

// Rates are what an event counts towards in a store, as AllowFor counts it.
func Rates(kind, address, what string, perMinute int) []storage.Rate {
	rateOf := func(key string, perMinute int) storage.Rate {
		return storage.Rate{Key: storage.HashOf(kind + "\x00" + key + "\x00" + what), PerMinute: perMinute}
	}
	a, levels := parseAddress(address)
	if levels == nil {
		return []storage.Rate{rateOf(address, perMinute)}
	}
	rates := make([]storage.Rate, len(levels))
	for i, level := range levels {
		rates[i] = rateOf(blockOf(a, level), level.times*perMinute)
	}
	return rates
}
