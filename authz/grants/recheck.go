package grants

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Whoever was removed where another handler authenticates people is not known
// here. So a grant of such a person is good only for a while, the Recheck of the
// method, after they last came through that handler: when they approved it, or
// visited our pages.

// seenEvery is which part of Recheck passes before a visit is written down
// again: a person who looks around costs no more than that.
const seenEvery = 24

// ProvedAgain records that a person was authenticated by another handler just
// now, for the request at hand. What they approved is good from then on.
func (gs *Grants) ProvedAgain(ctx context.Context, id storage.Identity) error {
	recheck := gs.cfg.SignIn.Recheck(id)
	if recheck == 0 {
		return nil
	}
	now := gs.now()
	last, err := gs.lastProved(ctx, id)
	if err != nil || now.Sub(last) < recheck/seenEvery {
		return err
	}
	err = gs.store.PutSiteValue(ctx, storage.SiteValue{
		Issuer: gs.cfg.Issuer, Name: provedValue(id), Text: now.UTC().Format(time.RFC3339Nano),
		ExpiresAt: now.Add(max(recheck, time.Duration(gs.cfg.AbsoluteGrantLifetime))),
	})
	if err != nil {
		return oauth.Unavailable(err)
	}
	return nil
}

// lastProved returns when ProvedAgain last wrote that down; zero for never.
func (gs *Grants) lastProved(ctx context.Context, id storage.Identity) (time.Time, error) {
	m, err := gs.store.SiteValue(ctx, gs.cfg.Issuer, provedValue(id), gs.now())
	if errors.Is(err, storage.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, oauth.Unavailable(err)
	}
	last, err := time.Parse(time.RFC3339Nano, m.Text)
	if err != nil {
		return time.Time{}, oauth.Unavailable(err)
	}
	return last, nil
}

func provedValue(id storage.Identity) string { return "proved " + id.Subject }

// GoodUntil returns until when tokens of a grant can be good. A grant whose
// person did not come back in time ends.
func (gs *Grants) GoodUntil(ctx context.Context, g *storage.Grant) (time.Time, error) {
	recheck := gs.cfg.SignIn.Recheck(g.Identity)
	if recheck == 0 {
		return g.AbsoluteExpiresAt, nil
	}
	proved, err := gs.lastProved(ctx, g.Identity)
	if err != nil {
		return time.Time{}, err
	}
	if g.CreatedAt.After(proved) {
		proved = g.CreatedAt
	}
	end := proved.Add(recheck)
	if g.AbsoluteExpiresAt.Before(end) {
		end = g.AbsoluteExpiresAt
	}
	if gs.now().Before(end) {
		return end, nil
	}
	if err := gs.Revoke(ctx, g.ID); err != nil {
		return time.Time{}, err
	}
	gs.log.Info("revoked a grant whose person did not sign in to the site again within the recheck time of identity caddy",
		zap.String("grant_id", g.ID), zap.String("client_id", g.ClientID), zap.String("subject", g.Identity.Subject), zap.Duration("recheck", recheck))
	return time.Time{}, oauth.ErrInvalidGrant
}
