package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	usageReuse   = 10 * time.Second
	usageTimeout = 2 * time.Second
)

// Usage is what a store said last of how much is in it. However many scrape, the
// store counts once every few seconds.
type Usage struct {
	mu   sync.Mutex
	at   time.Time
	said *storage.Usage
}

// Of asks the store, unless it was asked just now. It returns nil while the store
// cannot tell.
func (u *Usage) Of(store storage.Store, now time.Time) *storage.Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.at.IsZero() && now.Sub(u.at) < usageReuse {
		return u.said
	}
	ctx, cancel := context.WithTimeout(context.Background(), usageTimeout)
	defer cancel()
	u.at, u.said = now, nil
	if said, err := store.Usage(ctx, now); err == nil {
		u.said = &said
	}
	return u.said
}
