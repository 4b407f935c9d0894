package accounts

import (
	"context"
	"errors"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Disconnect ends a connection here at once, together with trips that are
// still under way, and at the provider as soon as that answers, where it has a
// way to (RFC 7009). A connection that does not exist is no error.
//
// The owner is the one it was connected for: storage.SharedOwner for a
// connection that everybody uses.
func (b *Broker) Disconnect(ctx context.Context, owner, server string) error {
	k := storage.ConnectionKey{Issuer: b.cfg.Issuer, Owner: owner, Server: server}
	c, err := b.deps.Store.Connection(ctx, k, b.deps.Now())
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	c.ConnectionKey = k
	for {
		var queue *storage.ProviderRevocation
		if c.ID != "" {
			queue = b.revocationOf(c)
		}
		if queue != nil {
			b.handOut(queue)
		}
		current, verdict, err := b.deps.Store.Disconnect(ctx, c, queue, b.deps.Now())
		switch {
		case err != nil:
			return err
		case verdict == storage.Changed: // refreshed at the same time: those tokens are to be revoked
			c = current
			continue
		}
		b.deps.Cache.Forget(k)
		if verdict == storage.OK {
			b.ended(c)
		}
		if queue != nil {
			b.revokeNow(ctx, queue)
		}
		return nil
	}
}

// EndStarted ends the connect requests of what was started for everybody and is not
// connected yet. It is ErrUnknownConnection if nobody remembers a start; the
// requests are ended all the same.
func (b *Broker) EndStarted(ctx context.Context, server string) (Overview, error) {
	s := b.servers[server]
	if s == nil || s.Mode != OAuth {
		return Overview{}, ErrUnknownConnection
	}
	o, unknown := b.Recent(server) // before a connection that is made just now ends with it
	if err := b.Disconnect(ctx, storage.SharedOwner, server); err != nil {
		return Overview{}, err
	}
	if unknown != nil || !o.Pending {
		return Overview{}, ErrUnknownConnection
	}
	b.remember(b.key(storage.SharedOwner, s), Overview{State: storage.Disconnected}, b.deps.Now().Add(endedLifetime))
	return b.Recent(server)
}
