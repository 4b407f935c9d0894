package accounts

import "context"

// LinkOf returns the Link of the credential that the owner's calls carry, "" if
// they carry none. It asks no provider, and knows of none while the store fails.
func (b *Broker) LinkOf(ctx context.Context, owner, server string) string {
	s, k, err := b.connected(owner, server)
	if err != nil {
		return ""
	}
	now := b.deps.Now()
	h, ticket := b.deps.Cache.get(k)
	if !h.believed(s, now) {
		if h, err = b.read(ctx, s, k, h, ticket, now); err != nil {
			return ""
		}
	}
	if h.credential == nil {
		return ""
	}
	return h.credential.Link
}
