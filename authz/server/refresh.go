package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// refreshesPerMinute is how often the tokens of one grant may be refreshed. Each
// is a write to the disk.
const refreshesPerMinute = 60

var errTooManyRefreshes = &oauth.Error{
	Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Reason: "too_many_refreshes",
	Description: "The tokens of this grant are refreshed too often; try again shortly.",
}

// refreshGrant is the grant type refresh_token.
type refreshGrant struct {
	cfg     *config.Site
	policy  *grants.Policy
	grants  *grants.Grants
	issuer  *tokenIssuer
	store   storage.AuthStore
	cache   *tokens.Cache
	limiter *ratelimit.Limiter
	events  *event.Recorder
	now     func() time.Time
}

// redeem exchanges a refresh token for new tokens (OAuth 2.1 section 4.3).
// Every token is used once. A client that lost the response, or sent the
// request twice, gets the same response again for a while; any other reuse
// means that there is a copy and ends the grant.
func (rg *refreshGrant) redeem(ctx context.Context, client *clients.Authenticated, form url.Values) (*issuedTokens, error) {
	presented := form.Get("refresh_token")
	if presented == "" {
		return nil, oauth.NewError("invalid_request", "The refresh_token is missing.")
	}
	if !strings.HasPrefix(presented, tokens.RefreshPrefix) {
		return nil, oauth.ErrInvalidGrant.Because("not_a_refresh_token")
	}
	now := rg.now()
	rotation := storage.Rotation{
		Hash: storage.HashOf(presented), Issuer: rg.cfg.Issuer, ClientID: client.ID, GrantID: rg.issuer.refresh.GrantID(presented),
		Grace: time.Duration(*rg.cfg.RefreshReuseGrace), Now: now,
	}
	token, grant, err := rg.store.RefreshToken(ctx, rotation.Hash, now)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, rg.rejectReuse(ctx, client, rotation)
	}
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	if token.Issuer != rg.cfg.Issuer || token.ClientID != client.ID {
		rg.events.Record(ctx, event.Event{Kind: event.TokenMisused, Reason: "refresh_token", Client: client.ID, Grant: token.GrantID})
		return nil, oauth.ErrInvalidGrant.Because("other_client")
	}
	event.Learn(ctx, rg.grants.About(&grant, event.Event{}))
	if token.Authenticated && !client.Proved {
		return nil, clients.ErrUnproved
	}
	usable, err := rg.grants.UsableServers(ctx, client.Metadata.RedirectURIs, &grant)
	if err != nil {
		return nil, err
	}
	audience, err := rg.policy.Audience(&grant, usable, form["resource"])
	if err != nil {
		return nil, err
	}
	scope, err := grants.NarrowScope(form.Get("scope"), grants.LimitScope(grant.Scope, audience), slices.Concat(rg.cfg.Servers, audience))
	if err != nil {
		return nil, err
	}
	// What was rotated already is repeated, or ends the grant: no limit comes
	// before that.
	if token.RotatedAt.IsZero() && rg.limiter.Exhausted("refresh", grant.ID, refreshesPerMinute) {
		return nil, errTooManyRefreshes
	}
	until, err := rg.grants.GoodUntil(ctx, &grant)
	if err != nil {
		return nil, err
	}
	issued, records, err := rg.issuer.issue(ctx, &grant, until, audience, scope, true, now)
	if err != nil {
		return nil, err
	}
	records.Refresh.Authenticated = client.Proved // as it must be if the token was
	kept := *issued
	kept.ExpiresAt = issued.ExpiresAt.Add(rg.issuer.ahead()) // another process may repeat it
	replay, err := json.Marshal(&kept)
	if err != nil {
		return nil, err
	}
	rotation.Issue = records
	rotation.Replay = seal.Under(presented, replay, "refresh", rg.cfg.Issuer, client.ID)
	result, err := rg.rotate(ctx, client, rotation)
	if err != nil {
		return nil, err
	}
	switch result.Verdict {
	case storage.OK:
		rg.limiter.Allow("refresh", grant.ID, refreshesPerMinute)
		rg.events.Record(ctx, event.Event{Kind: event.TokenRefreshed, By: event.ByClient})
		return issued, nil
	case storage.Repeated:
		first, err := rg.repeat(presented, client.Client, result.Replay, issued)
		if err == nil {
			rg.events.Record(ctx, event.Event{Kind: event.TokenRefreshed, Reason: "repeated", By: event.ByClient})
		}
		return first, err
	case storage.Replayed:
		return nil, oauth.ErrInvalidGrant.Because("reused")
	}
	return nil, oauth.ErrInvalidGrant.Because("token_ended")
}

// rejectReuse refuses a refresh token that has no record. If it proves its
// grant, it was used before, and ends that.
func (rg *refreshGrant) rejectReuse(ctx context.Context, client *clients.Authenticated, r storage.Rotation) error {
	if r.GrantID == "" {
		return oauth.ErrInvalidGrant.Because("token_unknown")
	}
	result, err := rg.rotate(ctx, client, r)
	switch {
	case err != nil:
		return err
	case result.Verdict == storage.Replayed:
		return oauth.ErrInvalidGrant.Because("reused")
	}
	return oauth.ErrInvalidGrant.Because("token_ended")
}

// rotate has the store decide about a refresh token.
func (rg *refreshGrant) rotate(ctx context.Context, client *clients.Authenticated, r storage.Rotation) (storage.RotationResult, error) {
	r.UsesUp = client.UsesUp()
	result, err := rg.store.RotateRefreshToken(ctx, r)
	if err != nil {
		return result, oauth.Unavailable(err)
	}
	if result.Verdict == storage.AlreadyUsed {
		return result, clients.ErrAssertionUsed
	}
	rg.cache.Forget(result.Revocation)
	if result.Verdict == storage.Replayed {
		recordReuse(ctx, rg.events, "refresh_token", client.ID, result.GrantIDs)
	}
	return result, nil
}

// repeat returns the tokens that the first use of a refresh token yielded,
// provided that they are no more, and nothing else, than this one asks for.
func (rg *refreshGrant) repeat(presented string, client *clients.Client, replay []byte, asked *issuedTokens) (*issuedTokens, error) {
	plain, err := seal.OpenUnder(presented, replay, "refresh", rg.cfg.Issuer, client.ID)
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	first := new(issuedTokens)
	if err := json.Unmarshal(plain, first); err != nil {
		return nil, oauth.Unavailable(err)
	}
	first.ExpiresAt = first.ExpiresAt.Add(-rg.issuer.ahead())
	if !slices.Equal(first.Audience, asked.Audience) {
		return nil, oauth.NewError("invalid_target", "The token was refreshed for another resource just now.").Because("repeated_differently")
	}
	if !slices.Equal(first.Scope, asked.Scope) {
		return nil, oauth.NewError("invalid_scope", "The token was refreshed for another scope just now.").Because("repeated_differently")
	}
	return first, nil
}
