package authz

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// refresh exchanges a refresh token for new tokens (OAuth 2.1 section 4.3).
// Every token is used once. A client that lost the response, or sent the
// request twice, gets the same response again for a while; any other reuse
// means that somebody holds a copy and ends the grant.
func (as *AuthorizationServer) refresh(ctx context.Context, client *Client, form url.Values) (*tokens, error) {
	presented := form.Get("refresh_token")
	if presented == "" {
		return nil, fail("invalid_request", "The refresh_token is missing.")
	}
	if !strings.HasPrefix(presented, refreshTokenPrefix) {
		return nil, errInvalidGrant
	}
	now, hash := as.deps.Now(), storage.HashOf(presented)
	token, grant, err := as.deps.Store.RefreshToken(ctx, hash, now)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, errInvalidGrant
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if token.Issuer != as.cfg.Issuer || token.ClientID != client.ID {
		as.log.Warn("a client presented the refresh token of another", zap.String("client_id", client.ID), zap.String("grant_id", token.GrantID))
		return nil, errInvalidGrant
	}
	usable, err := as.usableServers(ctx, client, &grant)
	if err != nil {
		return nil, err
	}
	audience, err := as.audience(&grant, usable, form["resource"])
	if err != nil {
		return nil, err
	}
	scope, err := narrowScope(form.Get("scope"), limitScope(grant.Scope, audience), as.cfg.Servers)
	if err != nil {
		return nil, err
	}
	issued, records := as.issue(&grant, audience, scope, true, now)
	replay, err := json.Marshal(issued)
	if err != nil {
		return nil, err
	}
	result, err := as.deps.Store.RotateRefreshToken(ctx, storage.Rotation{
		Hash: hash, Issuer: as.cfg.Issuer, ClientID: client.ID, Grace: as.cfg.RefreshReuseGrace, Issue: records,
		Replay: seal.Under(presented, replay, "refresh", as.cfg.Issuer, client.ID), Now: now,
	})
	if err != nil {
		return nil, unavailable(err)
	}
	as.deps.Tokens.Forget(result.Revocation)
	switch result.Verdict {
	case storage.OK:
		return issued, nil
	case storage.Repeated:
		return as.repeat(presented, client, result.Replay, issued)
	case storage.Replayed:
		as.replayed("refresh token", client.ID, result.GrantIDs)
	}
	return nil, errInvalidGrant
}

// repeat returns the tokens that the first use of a refresh token yielded,
// provided that they are no more, and nothing else, than this one asks for.
func (as *AuthorizationServer) repeat(presented string, client *Client, replay []byte, asked *tokens) (*tokens, error) {
	plain, err := seal.OpenUnder(presented, replay, "refresh", as.cfg.Issuer, client.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	first := new(tokens)
	if err := json.Unmarshal(plain, first); err != nil {
		return nil, unavailable(err)
	}
	if !slices.Equal(first.Audience, asked.Audience) {
		return nil, fail("invalid_target", "The token was refreshed for another resource just now.")
	}
	if !slices.Equal(first.Scope, asked.Scope) {
		return nil, fail("invalid_scope", "The token was refreshed for another scope just now.")
	}
	return first, nil
}
