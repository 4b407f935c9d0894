package authz

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Whoever was removed where another handler authenticates people is not known
// here. So a grant of such a person is good only for a while after they last
// came through that handler: when they approved it, or visited our pages.

// seenEvery is which part of Recheck passes before a visit is written down
// again: a person who looks around costs no more than that.
const seenEvery = 24

// rechecks reports whether an identity must be proved again every so often.
func (as *AuthorizationServer) rechecks(id storage.Identity) bool {
	return id.Kind == string(identity.Caddy) && as.cfg.Recheck > 0
}

// ProvedAgain tells that a person was authenticated by another handler just
// now, for the request at hand. What they approved is good from then on.
func (as *AuthorizationServer) ProvedAgain(ctx context.Context, id storage.Identity) error {
	if !as.rechecks(id) {
		return nil
	}
	now := as.deps.Now()
	last, err := as.lastProved(ctx, id)
	if err != nil || now.Sub(last) < as.cfg.Recheck/seenEvery {
		return err
	}
	err = as.deps.Store.PutMemo(ctx, storage.Memo{
		Issuer: as.cfg.Issuer, Name: provedMemo(id), Text: now.UTC().Format(time.RFC3339Nano),
		ExpiresAt: now.Add(max(as.cfg.Recheck, as.cfg.Lifetimes.AbsoluteGrant)),
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// lastProved returns when ProvedAgain last wrote that down; zero for never.
func (as *AuthorizationServer) lastProved(ctx context.Context, id storage.Identity) (time.Time, error) {
	m, err := as.deps.Store.Memo(ctx, as.cfg.Issuer, provedMemo(id), as.deps.Now())
	if errors.Is(err, storage.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, unavailable(err)
	}
	last, err := time.Parse(time.RFC3339Nano, m.Text)
	if err != nil {
		return time.Time{}, unavailable(err)
	}
	return last, nil
}

func provedMemo(id storage.Identity) string { return "proved " + id.Subject }

// goodUntil returns until when tokens of a grant can be good. A grant whose
// person did not come back in time ends.
func (as *AuthorizationServer) goodUntil(ctx context.Context, g *storage.Grant) (time.Time, error) {
	if !as.rechecks(g.Identity) {
		return g.AbsoluteExpiresAt, nil
	}
	proved, err := as.lastProved(ctx, g.Identity)
	if err != nil {
		return time.Time{}, err
	}
	if g.CreatedAt.After(proved) {
		proved = g.CreatedAt
	}
	end := earliest(g.AbsoluteExpiresAt, proved.Add(as.cfg.Recheck))
	if as.deps.Now().Before(end) {
		return end, nil
	}
	if err := as.revokeGrant(ctx, g.ID); err != nil {
		return time.Time{}, err
	}
	as.log.Info("revoked a grant whose person did not sign in to the site again within the recheck time of identity caddy",
		zap.String("grant_id", g.ID), zap.String("client_id", g.ClientID), zap.String("subject", g.Identity.Subject), zap.Duration("recheck", as.cfg.Recheck))
	return time.Time{}, errInvalidGrant
}
