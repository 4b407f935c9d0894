package upstream

import (
	"context"
	"time"
)

// refusalPause is how long a token that came after a refusal has to be refused
// before we ask for yet another one: an upstream that refuses everything must
// not become a flood at its provider.
const refusalPause = 30 * time.Second

// Refused tells that the upstream answered 401 to a call with c, and returns
// what to try instead, once: what somebody else got meanwhile, or else what
// one refresh yields. ErrNeedsReauth if there is nothing else to try.
func (b *Broker) Refused(ctx context.Context, owner, server string, c *Credential) (*Credential, error) {
	s, k, err := b.connected(owner, server)
	if err != nil {
		return nil, err
	}
	if h, _ := b.deps.Cache.get(k); h != nil && sameCredential(h.credential, c) {
		switch now := b.deps.Now(); {
		case now.Before(h.retryAt):
			return nil, ErrUnavailable
		case now.Before(h.forcedUntil):
			return nil, needsReauth(h.state)
		}
	}
	// Somebody else's flight may have begun before the refusal was known.
	for range 2 {
		fresh, err := b.awaitRefresh(ctx, s, k, c)
		if err != nil || !sameCredential(fresh, c) {
			return fresh, err
		}
	}
	return nil, ErrUnavailable
}
