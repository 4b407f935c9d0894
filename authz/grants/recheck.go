package grants

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Whoever was removed where another system authenticates people is not known here
// at once. Where that can be asked, package persons does so, and what it learns is
// true of every grant. Where it cannot, a grant of such a person is good only for a
// while, the Recheck of the method, after they last came through that system.

// ErrProviderSilent is the answer while the identity provider of a person does not
// say whether they may still sign in there. Tokens are kept: they work again when
// it does.
var ErrProviderSilent = &oauth.Error{
	Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable",
	Description: "The identity provider of this person does not answer, so nobody can tell whether they may still sign in; try again shortly.",
	Known:       true,
}

// GoodUntil returns until when tokens of a grant can be good. A grant whose
// person did not come back in time ends.
func (gs *Grants) GoodUntil(ctx context.Context, g *storage.Grant) (time.Time, error) {
	if errors.Is(gs.cfg.SignIn.Verified(g.Identity, gs.now()), identity.ErrProviderSilent) {
		return time.Time{}, ErrProviderSilent
	}
	end, err := gs.identifiedUntil(ctx, g)
	switch {
	case err != nil:
		return time.Time{}, err
	case end.IsZero():
		return g.AbsoluteExpiresAt, nil
	case g.AbsoluteExpiresAt.Before(end):
		end = g.AbsoluteExpiresAt
	}
	if gs.now().Before(end) {
		return end, nil
	}
	if err := gs.Revoke(ctx, gs.About(g, event.Event{Reason: "sign_in_too_old", By: event.BySite})); err != nil {
		return time.Time{}, err
	}
	return time.Time{}, oauth.ErrInvalidGrant.Because("sign_in_too_old")
}

// identifiedUntil returns until when a grant rests on what its person last proved;
// zero for no bound.
func (gs *Grants) identifiedUntil(ctx context.Context, g *storage.Grant) (time.Time, error) {
	if g.Identity.Claims != nil {
		return gs.cfg.SignIn.VerifiedUntil(g.Identity), nil
	}
	recheck := gs.cfg.SignIn.Recheck(g.Identity)
	if recheck == 0 {
		return time.Time{}, nil
	}
	proved, err := gs.persons.LastProved(ctx, g.Identity)
	if err != nil {
		return time.Time{}, err
	}
	if g.CreatedAt.After(proved) {
		proved = g.CreatedAt
	}
	return proved.Add(recheck), nil
}
