package accounts

import (
	"context"
	"time"
)

const (
	// asksTimeout is how long a page waits to be told.
	asksTimeout = 3 * time.Second
	// asksLifetime is how long the answer is believed, asksRetry how long
	// nobody asks again after there was none.
	asksLifetime = 10 * time.Minute
	asksRetry    = time.Minute
)

// asks is what a provider is asked for.
type asks struct {
	scopes []string
	until  time.Time
}

// Asks returns the scopes that a provider is asked for when somebody connects
// the server, for the page on which they agree to that. It returns none when
// none are asked for, or when the server does not tell right now. The server is
// asked rarely, however often people look.
func (b *Broker) Asks(ctx context.Context, server string) []string {
	s := b.servers[server]
	if s == nil || s.Mode != OAuth && s.Mode != PerUserOAuth {
		return nil
	}
	if len(s.Scopes) > 0 {
		return s.Scopes
	}
	now := b.deps.Now()
	if a, ok := b.asked(server, now); ok {
		return a.scopes
	}
	found, _, _ := b.asking.Do(server, func() (any, error) {
		if a, ok := b.asked(server, now); ok { // since we looked
			return a, nil
		}
		// Whoever looked first may go away; others wait for the answer too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), asksTimeout)
		defer cancel()
		a := asks{until: now.Add(asksRetry)}
		if p, err := b.discover(ctx, s); err == nil {
			a = asks{scopes: p.RequestedScopes(nil, nil), until: now.Add(asksLifetime)}
		}
		b.asks.Store(server, a)
		return a, nil
	})
	return found.(asks).scopes
}

func (b *Broker) asked(server string, now time.Time) (asks, bool) {
	known, ok := b.asks.Load(server)
	if !ok || !now.Before(known.(asks).until) {
		return asks{}, false
	}
	return known.(asks), true
}
