package accounts

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// refusalPause is how long a credential that came after a refusal, or was
// confirmed after one, is not asked about again: an upstream that refuses
// everything must not become a flood at its provider, nor one at itself.
const refusalPause = 30 * time.Second

// Refused tells that the upstream answered 401 to a call with c, and returns
// what to try instead, once: what somebody else got meanwhile, or else what
// one refresh yields. If there is nothing else to try, it is ErrRefused, or
// ErrNeedsReauth once provider or server have confirmed that c works no more:
// what a client sends can be what the 401 is about, so the call alone ends no
// connection.
func (b *Broker) Refused(ctx context.Context, owner, server string, c *Credential) (*Credential, error) {
	s, k, err := b.connected(owner, server)
	if err != nil {
		return nil, err
	}
	h, _ := b.deps.Cache.get(k)
	if err := h.refusal(c, b.deps.Now()); err != nil {
		return nil, err
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

// giveUp ends a connection that cannot be refreshed. One whose time is not over
// and that a server refused is first confirmed to work no more.
func (b *Broker) giveUp(ctx context.Context, r *refreshing, cause error) (*held, error) {
	if r.held.works(b.deps.Now()) && sameCredential(r.held.credential, r.refused) {
		if err := b.confirm(ctx, r); err != nil {
			return nil, err
		}
	}
	b.report(r, storage.NeedsReauth, cause)
	return b.settle(ctx, r, storage.NeedsReauth)
}

// confirm asks the server itself about the credential that it refused to some
// call, by a request of our own that carries it. It returns nil if the server
// refuses that one too. The flight is held, and any other outcome remembered, so
// that no number of refused calls makes many requests of it.
func (b *Broker) confirm(ctx context.Context, r *refreshing) error {
	h, _ := b.deps.Cache.get(r.c.ConnectionKey)
	if err := h.refusal(r.refused, b.deps.Now()); err != nil { // since this caller looked
		return err
	}
	k, err := b.verify(ctx, r.server, r.held.credential.Headers)
	if err == nil && r.server.refuses(k) {
		return nil
	}
	kept := *r.held
	outcome := ErrRefused
	if err != nil || k.unable() {
		outcome, kept.retryAt = ErrUnavailable, b.deps.Now().Add(retryPause)
	} else {
		kept.keptUntil = b.deps.Now().Add(refusalPause)
	}
	b.deps.Cache.put(r.c.ConnectionKey, &kept, r.ticket)
	b.log.Warn("a server refused a call, and did not refuse the account when asked about it",
		zap.String("server", r.c.Server), zap.String("connection", r.c.ID), zap.NamedError("outcome", outcome))
	return outcome
}

// refuses reports whether an answer to our own request is about its
// credential. A URL that is there to judge keys may say no in either way.
func (s *Server) refuses(k *knocked) bool {
	return k.status == http.StatusUnauthorized || s.VerifyURL != "" && k.status == http.StatusForbidden
}
