package server

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// codeGrant is the grant type authorization_code.
type codeGrant struct {
	cfg    *config.Site
	policy *grants.Policy
	grants *grants.Grants
	issuer *tokenIssuer
	store  storage.AuthStore
	cache  *tokens.Cache
	events *event.Recorder
	now    func() time.Time
}

// redeem exchanges an authorization code for tokens (OAuth 2.1 section
// 4.1.3). What only a mistaken or malicious sender gets wrong (another client,
// redirect URI or resource, a verifier that cannot be one) leaves the code as
// it is. A verifier that is absent or wrong spoils it: its sender holds a
// code without the secret that belongs to it.
func (cg *codeGrant) redeem(ctx context.Context, client *clients.Authenticated, form url.Values) (*issuedTokens, error) {
	presented, verifier := form.Get("code"), form.Get("code_verifier")
	if presented == "" {
		return nil, oauth.NewError("invalid_request", "The code is missing.")
	}
	if verifier != "" && !oauth.ValidCodeVerifier(verifier) {
		return nil, oauth.NewError("invalid_request", "The code_verifier is malformed.").Because("malformed_verifier")
	}
	if !strings.HasPrefix(presented, tokens.CodePrefix) {
		return nil, oauth.ErrInvalidGrant.Because("not_a_code")
	}
	now, hash := cg.now(), storage.HashOf(presented)
	code, grant, err := cg.codeAndGrant(ctx, hash)
	if err != nil {
		return nil, err
	}
	if code.Issuer != cg.cfg.Issuer || code.ClientID != client.ID {
		cg.events.Record(ctx, event.Event{Kind: event.TokenMisused, Reason: "authorization_code", Client: client.ID, Grant: code.GrantID})
		return nil, oauth.ErrInvalidGrant.Because("other_client")
	}
	event.Learn(ctx, cg.grants.About(grant, event.Event{}))
	usable, err := cg.grants.UsableServers(ctx, client.Metadata.RedirectURIs, grant)
	if err != nil {
		return nil, err
	}
	audience, err := cg.policy.Audience(grant, usable, form["resource"])
	if err != nil {
		return nil, err
	}
	until, err := cg.grants.GoodUntil(ctx, grant)
	if err != nil {
		return nil, err
	}
	issued, records, err := cg.issuer.issue(ctx, grant, until, audience, grant.Scope, client.AllowsGrant(oauth.GrantRefreshToken), now)
	if err != nil {
		return nil, err
	}
	if records.Refresh != nil {
		records.Refresh.Authenticated = client.Proved
	}
	result, err := cg.store.ClaimCode(ctx, storage.CodeClaim{
		Hash: hash, Issuer: cg.cfg.Issuer, ClientID: client.ID, RedirectURI: form.Get("redirect_uri"),
		Challenge: oauth.CodeChallenge(verifier), Issue: records, UsesUp: client.UsesUp(), Now: now,
	})
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	cg.cache.Forget(result.Revocation)
	switch result.Verdict {
	case storage.AlreadyUsed:
		return nil, clients.ErrAssertionUsed
	case storage.OK:
		cg.events.Record(ctx, event.Event{Kind: event.TokenIssued, By: event.ByClient})
		return issued, nil
	case storage.Replayed:
		recordReuse(ctx, cg.events, "authorization_code", client.ID, result.GrantIDs)
		return nil, oauth.ErrInvalidGrant.Because("reused")
	}
	return nil, oauth.ErrInvalidGrant.Because(whyRefused(result.Verdict))
}

// whyRefused returns the reason for which a code was not redeemed. The client reads
// the same for all of them.
func whyRefused(v storage.Verdict) string {
	switch v {
	case storage.Expired:
		return "code_expired"
	case storage.WrongClient: // of which another client_id was told before
		return "redirect_uri_differs"
	case storage.ProofFailed:
		return "wrong_verifier"
	}
	return "code_refused"
}

// codeAndGrant returns a code and what it stands for, without claiming it.
func (cg *codeGrant) codeAndGrant(ctx context.Context, h storage.Hash) (*storage.Code, *storage.Grant, error) {
	now := cg.now()
	code, err := cg.store.Code(ctx, h, now)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil, oauth.ErrInvalidGrant.Because("code_ended")
	}
	if err != nil {
		return nil, nil, oauth.Unavailable(err)
	}
	grant, err := cg.store.Grant(ctx, code.GrantID, now)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil, oauth.ErrInvalidGrant.Because("grant_ended")
	}
	if err != nil {
		return nil, nil, oauth.Unavailable(err)
	}
	return &code, &grant, nil
}
