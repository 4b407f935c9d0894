package authz

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// bringsOwn reports whether a form brings a code or token that was issued here
// to the client. Its metadata document and its keys, wherever they are, were
// good once, so they are no stranger's invention: they may be fetched beyond
// what strangers may cause, and their client be told that this failed for now
// instead of invalid_client, at which clients forget their tokens. An error is
// the store's.
func (as *AuthorizationServer) bringsOwn(ctx context.Context, clientID string, form url.Values) (bool, error) {
	issuer, owner, err := as.issuedTo(ctx, cmp.Or(form.Get("code"), form.Get("refresh_token"), form.Get("token")))
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, unavailable(err)
	}
	return issuer == as.cfg.Issuer && owner == clientID, nil
}

// issuedTo returns who issued a code or token, and to which client.
func (as *AuthorizationServer) issuedTo(ctx context.Context, presented string) (issuer, clientID string, err error) {
	now, hash := as.deps.Now(), storage.HashOf(presented)
	switch {
	case strings.HasPrefix(presented, codePrefix):
		code, err := as.deps.Store.Code(ctx, hash, now)
		return code.Issuer, code.ClientID, err
	case strings.HasPrefix(presented, refreshTokenPrefix):
		token, _, err := as.deps.Store.RefreshToken(ctx, hash, now)
		return token.Issuer, token.ClientID, err
	case strings.HasPrefix(presented, accessTokenPrefix):
		token, err := as.deps.Store.AccessToken(ctx, hash, now)
		return token.Issuer, token.ClientID, err
	}
	return "", "", storage.ErrNotFound
}
