package accounts

import (
	"cmp"
	"context"
	"errors"
	"math/bits"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// revocationStep is how often an entry of the queue comes up. It is sent
	// the first, second, fourth, eighth … time, so the pauses double.
	revocationStep = 5 * time.Minute
	// revocationsPerRead and readsPerTurn bound how many come up in one turn.
	revocationsPerRead = 64
	readsPerTurn       = 16
)

// RevokeDue tells providers to revoke what people disconnected, replaced or
// did not finish (RFC 7009), as far as it is due. It is to be called about
// every minute. It returns failures of the store only: a provider that does not
// answer is told again later.
func (b *Broker) RevokeDue(ctx context.Context) error {
	var turn revocationTurn
	err := b.queueDue(ctx, &turn)
	return errors.Join(err, turn.wait(ctx))
}

// queueDue puts what is due into the lines of its providers.
func (b *Broker) queueDue(ctx context.Context, turn *revocationTurn) error {
	for range readsPerTurn {
		now := b.deps.Now()
		due, err := b.deps.Store.DueRevocations(ctx, b.cfg.Issuer, revocationsPerRead, now, now.Add(revocationStep))
		if err != nil {
			return err
		}
		for _, r := range due {
			if bits.OnesCount(uint(r.Attempts)) == 1 {
				b.lineUp(ctx, r, turn)
			}
		}
		if len(due) < revocationsPerRead {
			break
		}
	}
	return nil
}

// handOut takes a new entry of the queue as if it had come up just now: who
// stores it also sends it, see revokeNow.
func (b *Broker) handOut(r *storage.ProviderRevocation) {
	if now := b.deps.Now(); !r.DueAt.After(now) {
		r.Attempts, r.DueAt = 1, now.Add(revocationStep)
	}
}

// revoke sends one entry of the queue, and ends it unless the provider has to be
// told again. It reports whether the provider answers, if it was asked.
func (b *Broker) revoke(ctx context.Context, r *storage.ProviderRevocation, opened secrets) (answers bool, err error) {
	s, configured := b.servers[r.Server]
	if !configured {
		s = &Server{ID: r.Server} // the link and our registration may be all that it takes
	}
	spared, err := b.spared(ctx, opened)
	if err != nil {
		return true, err
	}
	if spared {
		return true, b.deps.Store.EndRevocation(ctx, r.ID)
	}
	outcome, err := b.revokeTokens(ctx, s, opened)
	if !configured && (outcome != client.RevocationDone || errors.Is(err, errClientGone)) {
		b.warnUnconfigured(r.Server)
		outcome = max(outcome, client.RevocationLater) // what is missing comes back with the server
		if errors.Is(err, errClientGone) {
			err = nil
		}
	}
	if outcome != client.RevocationDone {
		return outcome != client.RevocationUnanswered, err
	}
	return true, b.endRevocation(ctx, r, err)
}

// endRevocation ends an entry of the queue, and says why if the provider was
// not told, or would not hear.
func (b *Broker) endRevocation(ctx context.Context, r *storage.ProviderRevocation, cause error) error {
	if cause != nil {
		b.log.Warn("a provider was not told to revoke", zap.String("server", r.Server), zap.Error(cause))
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
// are shown. An error is the store's if the provider is to be told again, else
// the reason why it was not told.
func (b *Broker) revokeTokens(ctx context.Context, s *Server, opened secrets) (client.RevocationOutcome, error) {
	c, err := b.clientOf(ctx, s, opened.Link)
	if errors.Is(err, errClientGone) && opened.Link.AuthMethod == oauth.AuthNone {
		c, err = &client.Credentials{ID: opened.Link.ClientID, AuthMethod: oauth.AuthNone}, nil // its name is all that it takes
	}
	if errors.Is(err, errClientGone) {
		return client.RevocationDone, err
	}
	if err != nil {
		return client.RevocationLater, err
	}
	var refusal error
	for _, token := range []struct{ hint, value string }{
		{"refresh_token", opened.RefreshToken}, {"access_token", opened.AccessToken},
	} {
		if token.value == "" {
			continue
		}
		outcome, err := b.oauthClient(s).RevokeToken(ctx, opened.Link.revocationEndpoint(), *c, token.hint, token.value)
		if outcome != client.RevocationDone {
			return outcome, nil // RFC 7009 section 2.2.1: the token must be taken to exist still
		}
		refusal = cmp.Or(refusal, err)
	}
	return client.RevocationDone, refusal
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
	b.handOut(r)
	if err := b.deps.Store.QueueRevocation(ctx, *r); err != nil {
		b.log.Error("a provider will not be told to revoke", zap.String("server", c.Server), zap.Error(err))
		return
	}
	b.revokeNow(ctx, r)
}
