package upstream

import (
	"context"
	"errors"
	"math/bits"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// revocationStep is how often an entry of the queue comes up. It is sent
	// the first, second, fourth, eighth … time, so the pauses double.
	revocationStep = 5 * time.Minute
	// revocationsAtOnce bounds one turn, and how many are sent side by side.
	revocationsPerTurn = 64
	revocationsAtOnce  = 4
)

// RevokeDue tells providers to revoke what people disconnected, replaced or
// did not finish (RFC 7009), as far as it is due. It is to be called about every minute. It returns failures
// of the store only: a provider that does not answer is told again later.
func (b *Broker) RevokeDue(ctx context.Context) error {
	now := b.deps.Now()
	due, err := b.deps.Store.DueRevocations(ctx, b.cfg.Issuer, revocationsPerTurn, now, now.Add(revocationStep))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(revocationsAtOnce)
	for i := range due {
		if r := &due[i]; bits.OnesCount(uint(r.Attempts)) == 1 {
			group.Go(func() error { return b.revokeQueued(ctx, r) })
		}
	}
	return group.Wait()
}

// revokeQueued sends one entry of the queue, and ends it unless the provider
// has to be told again.
func (b *Broker) revokeQueued(ctx context.Context, r *storage.ProviderRevocation) error {
	var opened secrets
	err := b.open(r.Secret, &opened, revocationContext(r)...)
	if err == nil {
		s, configured := b.servers[r.Server]
		if !configured {
			s = &Server{ID: r.Server} // the link and our registration may be all that it takes
		}
		spared, failed := b.spared(ctx, opened)
		if failed != nil {
			return failed
		}
		if spared {
			return b.deps.Store.EndRevocation(ctx, r.ID)
		}
		again, failed := b.revokeTokens(ctx, s, opened)
		if !configured && (again || errors.Is(failed, errClientGone)) {
			b.warnUnconfigured(r.Server)
			again = true // what is missing comes back with the server
			if errors.Is(failed, errClientGone) {
				failed = nil
			}
		}
		if again {
			return failed
		}
		err = failed
	}
	if err != nil {
		b.log.Warn("a provider was not told to revoke", zap.String("server", r.Server), zap.Error(err))
	}
	return b.deps.Store.EndRevocation(ctx, r.ID)
}

// warnUnconfigured tells once what keeps revocations waiting. They come up with
// the usual pauses until they expire.
func (b *Broker) warnUnconfigured(server string) {
	if _, warned := b.unconfigured.LoadOrStore(server, struct{}{}); warned {
		return
	}
	b.log.Warn("a provider was not told to revoke: the server is not in the configuration any more; putting it back soon lets it be revoked",
		zap.String("server", server))
}

// spared reports whether tokens are better left to end at the provider:
// revoking them could end a connection that the person has and wants.
func (b *Broker) spared(ctx context.Context, opened secrets) (bool, error) {
	if opened.Person == "" {
		return false, nil
	}
	others, err := b.deps.Store.ConnectionsOf(ctx, b.cfg.Issuer, opened.Person, b.deps.Now())
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(others, func(c storage.Connection) bool {
		other, err := b.openConnection(c)
		return err == nil && sameClient(other.Link, opened.Link) && (c.State == storage.Active || c.State == storage.InDoubt)
	}), nil
}

// revokeTokens revokes both tokens: some providers end only the one that they
// are shown. It reports whether that is to be tried again; the error is then
// nil or of the store.
func (b *Broker) revokeTokens(ctx context.Context, s *Server, opened secrets) (again bool, err error) {
	c, err := b.clientOf(ctx, s, opened.Link)
	if errors.Is(err, errClientGone) && opened.Link.AuthMethod == authNone {
		c, err = &client{ID: opened.Link.ClientID}, nil // its name is all that it takes
	}
	if err != nil {
		return !errors.Is(err, errClientGone), err
	}
	for _, token := range []struct{ hint, value string }{
		{"refresh_token", opened.RefreshToken}, {"access_token", opened.AccessToken},
	} {
		if token.value == "" {
			continue
		}
		a, err := b.post(ctx, s, opened.Link.RevocationEndpoint, opened.Link, c, url.Values{
			"token": {token.value}, "token_type_hint": {token.hint}, // RFC 7009 section 2.1
		})
		if err != nil || a.status >= http.StatusInternalServerError || a.status == http.StatusTooManyRequests {
			return true, nil // section 2.2.1: the token must be taken to exist still
		}
		// Unknown tokens are answered with 200, too (section 2.2). A refusal
		// would be the same again.
	}
	return false, nil
}

// revokeUnkept tells the provider about credentials that came too late to be
// kept. Where that could end another connection of the owner, they are left to
// end by themselves, unless the owner has asked for the end of the one they
// were to replace.
func (b *Broker) revokeUnkept(ctx context.Context, c storage.Connection, opened secrets, askedFor bool) {
	r := b.revocationOnExpiry(c, opened)
	if c.ExpiresAt.IsZero() || askedFor {
		if opened.Person = c.Owner; askedFor {
			opened.Person = ""
		}
		r = b.newRevocation(c.Server, opened, b.deps.Now())
	}
	if r == nil {
		return
	}
	if err := b.deps.Store.QueueRevocation(ctx, *r); err != nil {
		b.log.Error("a provider will not be told to revoke", zap.String("server", c.Server), zap.Error(err))
		return
	}
	b.revokeSoon(ctx)
}
