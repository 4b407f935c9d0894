package accounts

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A connection is in doubt when a refresh token was sent and no usable answer
// came: the provider may have replaced it, and may take it for stolen when it
// comes again. While the access token works, that could end it early, so the
// refresh token is kept back. Once it has ended there is nothing left to lose,
// and most often the provider has not seen the request: it is asked again, under
// the lease, until it answers. If it does not for about five minutes, the person
// is asked. A provider that does not replace refresh tokens can always be asked.

// maxRetries bounds how often a refresh token is sent again whose answer was
// lost.
const maxRetries = 20

// mayRetry reports whether a connection is in doubt and its refresh token may
// be sent again sooner or later.
func mayRetry(c storage.Connection, opened secrets) bool {
	return c.State == storage.InDoubt && opened.RefreshToken != "" && c.Retries < maxRetries
}

// retryAt is when the provider is asked next. The pauses grow from 5 to 25
// seconds: an outage of half a minute costs nobody more than it lasted.
func retryAt(c storage.Connection) time.Time {
	return c.UpdatedAt.Add(retryPause * time.Duration(1+c.Retries/4))
}

// reusable reports whether the provider takes the refresh token more than once.
func (s *Server) reusable(opened secrets) bool {
	return opened.Reusable || s.Quirks.NoRefreshRotation
}

// checkRetry returns nil unless the refresh token is kept back for now. An
// access token that may still work, but that the server refused to some call,
// is first confirmed to have ended.
func (b *Broker) checkRetry(ctx context.Context, r *refreshing) error {
	if r.c.State != storage.InDoubt {
		return nil
	}
	now := b.deps.Now()
	if now.Before(r.held.retryAt) {
		return ErrUnavailable
	}
	if r.held.works(now) && !r.server.reusable(r.opened) {
		return b.confirm(ctx, r)
	}
	return nil
}
