package accounts

import (
	"cmp"
	"context"
	"errors"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// revoker tells providers to revoke what people disconnected, replaced or did
// not finish (RFC 7009).
type revoker struct {
	*site
	registrar *registrar
	// disconnect is that of the site's connections.
	disconnect func(ctx context.Context, owner, server string) error
	// lines are on their way to providers.
	lines revocationLines
	// unconfigured has the servers that warnUnconfigured has named.
	unconfigured sync.Map
}

const (
	// revocationPatience is how long a provider is told to revoke something.
	revocationPatience = 7 * 24 * time.Hour
	// secondThoughts is how long what a flow connected is left alone after
	// nobody finished the flow: by then, whoever began anew has finished that.
	secondThoughts = time.Hour
)

// Many providers do not revoke one token, but all that the person ever gave
// the client (RFC 7009 section 2.1 lets them; Google says so). So there are
// two kinds of revocations:
//
//	asked for    the person, or an operator, ends a connection: it is sent
//	a by-product connected again, or for nothing: not if the person has
//	             another connection with the same client of the provider
//
// One of the second kind names the Person who must not lose anything by it.

// revocationOf returns what to tell the provider, or nil if there is no way.
// Damaged credentials do not keep a connection from being ended.
func (rv *revoker) revocationOf(c storage.Connection) *storage.ProviderRevocation {
	opened, err := rv.openConnection(c)
	if err != nil {
		return nil
	}
	return rv.newRevocation(c.Server, opened, rv.deps.Now())
}

// revocationOfReplaced returns what to tell the provider when a connection is
// replaced by another of the owner's, or nil.
func (rv *revoker) revocationOfReplaced(c storage.Connection, replacement binding) *storage.ProviderRevocation {
	if c.ID == "" {
		return nil
	}
	opened, err := rv.openConnection(c)
	if err != nil || sameClient(opened.Binding, replacement) {
		return nil
	}
	if opened.Person == "" {
		opened.Person = c.Owner
	}
	return rv.newRevocation(c.Server, opened, rv.deps.Now())
}

// revocationOnExpiry returns what to tell the provider if nobody finishes the
// flow that made the connection, or nil. Nobody in particular would, when they
// begin anew, not be known to be the same.
func (rv *revoker) revocationOnExpiry(c storage.Connection, s secrets) *storage.ProviderRevocation {
	if c.ExpiresAt.IsZero() || s.Person == "" || identity.IsAnonymous(s.Person) {
		return nil
	}
	return rv.newRevocation(c.Server, s, c.ExpiresAt.Add(secondThoughts))
}

// newRevocation returns an entry of the queue, or nil if the provider has no
// way to revoke.
func (rv *revoker) newRevocation(server string, s secrets, due time.Time) *storage.ProviderRevocation {
	if s.Binding.RevocationEndpoint == "" || s.AccessToken == "" {
		return nil
	}
	return rv.queued(server, s, due)
}

func (rv *revoker) queued(server string, s secrets, due time.Time) *storage.ProviderRevocation {
	r := &storage.ProviderRevocation{
		ID: uuid.NewString(), Issuer: rv.cfg.Issuer, Server: server, DueAt: due, ExpiresAt: due.Add(revocationPatience),
	}
	r.Secret = rv.seal(s, sealed.Revocation(r.Issuer, r.Server, r.ID)...)
	return r
}

// sameClient reports whether a provider may count both to one grant.
func sameClient(a, b binding) bool {
	return client.SameIssuer(a.Provider, b.Provider) && a.ClientID == b.ClientID
}

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
func (rv *revoker) RevokeDue(ctx context.Context) error {
	var turn revocationTurn
	err := rv.queueDue(ctx, &turn)
	return errors.Join(err, turn.wait(ctx))
}

// queueDue puts what is due into the lines of its providers.
func (rv *revoker) queueDue(ctx context.Context, turn *revocationTurn) error {
	for range readsPerTurn {
		now := rv.deps.Now()
		due, err := rv.deps.Store.DueRevocations(ctx, rv.cfg.Issuer, revocationsPerRead, now, now.Add(revocationStep))
		if err != nil {
			return err
		}
		for _, r := range due {
			if bits.OnesCount(uint(r.Attempts)) == 1 {
				rv.enqueue(ctx, r, turn)
			}
		}
		if len(due) < revocationsPerRead {
			break
		}
	}
	return nil
}

// claimNew takes a new entry of the queue as if it had come up just now: who
// stores it also sends it, see revokeNow.
func (rv *revoker) claimNew(r *storage.ProviderRevocation) {
	if now := rv.deps.Now(); !r.DueAt.After(now) {
		r.Attempts, r.DueAt = 1, now.Add(revocationStep)
	}
}

// revoke sends one entry of the queue, and ends it unless the provider has to be
// told again. It reports whether the provider answers, if it was asked.
func (rv *revoker) revoke(ctx context.Context, r *storage.ProviderRevocation, opened secrets) (answers bool, err error) {
	if opened.Left {
		return true, rv.endLeaver(ctx, r, opened.Person)
	}
	s := rv.server(r.Server)
	configured := s != nil
	if !configured {
		id, _ := config.SplitID(r.Server)
		s = &config.Server{ID: id, Auth: new(config.Auth)} // without its quirks: the binding and our registration may be all that it takes
	}
	skip, err := rv.mustSkip(ctx, opened)
	if err != nil {
		return true, err
	}
	if skip {
		return true, rv.deps.Store.EndRevocation(ctx, r.ID)
	}
	outcome, err := rv.revokeTokens(ctx, s, opened)
	if !configured && (outcome != client.RevocationDone || errors.Is(err, errClientGone)) {
		rv.warnUnconfigured(ctx, r.Server)
		outcome = max(outcome, client.RevocationLater) // what is missing comes back with the server
		if errors.Is(err, errClientGone) {
			err = nil
		}
	}
	if outcome != client.RevocationDone {
		return outcome != client.RevocationUnanswered, err
	}
	return true, rv.endRevocation(ctx, r, err)
}

// endRevocation ends an entry of the queue, and says why if the provider was
// not told, or would not hear.
func (rv *revoker) endRevocation(ctx context.Context, r *storage.ProviderRevocation, cause error) error {
	if cause != nil {
		rv.deps.Events.Record(ctx, event.Event{Kind: event.RevocationFailed, Reason: "refused", Server: r.Server, Err: cause})
	}
	return rv.deps.Store.EndRevocation(ctx, r.ID)
}

// warnUnconfigured tells once what keeps revocations waiting. They come up with
// the usual pauses until they expire.
func (rv *revoker) warnUnconfigured(ctx context.Context, server string) {
	if _, warned := rv.unconfigured.LoadOrStore(server, struct{}{}); warned {
		return
	}
	rv.deps.Events.Record(ctx, event.Event{
		Kind: event.RevocationFailed, Reason: "not_configured", Server: server,
		Detail: "The server is no longer configured; configure it again soon to have its tokens revoked.",
	})
}

// mustSkip reports whether tokens are better left to end at the provider:
// revoking them could end a connection that the person has and wants.
func (rv *revoker) mustSkip(ctx context.Context, opened secrets) (bool, error) {
	if opened.Person == "" {
		return false, nil
	}
	others, err := rv.deps.Store.ConnectionsOf(ctx, rv.cfg.Issuer, opened.Person, rv.deps.Now())
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(others, func(c storage.Connection) bool {
		other, err := rv.openConnection(c)
		return err == nil && sameClient(other.Binding, opened.Binding) && (c.State == storage.Active || c.State == storage.InDoubt)
	}), nil
}

// revokeTokens revokes both tokens: some providers end only the one that they
// are shown. An error is the store's if the provider is to be told again, else
// the reason why it was not told.
func (rv *revoker) revokeTokens(ctx context.Context, s *config.Server, opened secrets) (client.RevocationOutcome, error) {
	c, err := rv.registrar.clientOf(ctx, s, opened.Binding)
	if errors.Is(err, errClientGone) && opened.Binding.AuthMethod == oauth.AuthNone {
		c, err = &client.Credentials{ID: opened.Binding.ClientID, AuthMethod: oauth.AuthNone}, nil // its name is all that it takes
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
		outcome, err := rv.oauthClient(s).RevokeToken(ctx, opened.Binding.revocationEndpoint(), *c, token.hint, token.value)
		if outcome != client.RevocationDone {
			return outcome, nil // RFC 7009 section 2.2.1: the token must be taken to exist still
		}
		refusal = cmp.Or(refusal, err)
	}
	return client.RevocationDone, refusal
}

// revokeUnsaved tells the provider about credentials that came too late to be
// saved. Where that could end another connection of the owner, they are left to
// end by themselves, unless the owner has asked for the end of the one they
// were to replace.
func (rv *revoker) revokeUnsaved(ctx context.Context, c storage.Connection, opened secrets, askedFor bool) {
	r := rv.revocationOnExpiry(c, opened)
	if c.ExpiresAt.IsZero() || askedFor {
		if opened.Person = c.Owner; askedFor {
			opened.Person = ""
		}
		r = rv.newRevocation(c.Server, opened, rv.deps.Now())
	}
	if r == nil {
		return
	}
	rv.claimNew(r)
	if err := rv.deps.Store.QueueRevocation(ctx, *r); err != nil {
		rv.storeFailed(ctx, c.Server, "queueing what a provider is to revoke", err)
		return
	}
	rv.revokeNow(ctx, r)
}
