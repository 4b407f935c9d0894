package upstream

import "context"

// Linked reports whether the owner's calls still carry a credential with this
// Link. It asks no provider, and says no while the store fails.
func (b *Broker) Linked(ctx context.Context, owner, server, link string) bool {
	s, k, err := b.connected(owner, server)
	if err != nil {
		return false
	}
	now := b.deps.Now()
	h, ticket := b.deps.Cache.get(k)
	if !h.believed(s, now) {
		if h, err = b.read(ctx, s, k, h, ticket, now); err != nil {
			return false
		}
	}
	return h.credential != nil && h.credential.Link == link
}
