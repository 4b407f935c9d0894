package authz

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// revoke is the revocation endpoint (RFC 7009). A refresh token takes its
// whole grant along, an access token only itself. A token that is unknown, or
// another client's, is answered like a revoked one; a store that failed is not.
//
// The prefix says what a token is, so that token_type_hint has nothing to add.
func (as *AuthorizationServer) revoke(w http.ResponseWriter, r *http.Request) {
	if err := as.revokeToken(w, r); err != nil {
		oauth.WriteError(w, as.log, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (as *AuthorizationServer) revokeToken(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseForm(w, r)
	if err != nil {
		return err
	}
	client, err := as.authenticateClient(r, form)
	if err != nil {
		return err
	}
	token := form.Get("token")
	switch {
	case token == "":
		return oauth.NewError("invalid_request", "The token is missing.")
	case strings.HasPrefix(token, tokens.RefreshPrefix):
		return as.revokeRefreshToken(r.Context(), client, token)
	case strings.HasPrefix(token, tokens.AccessPrefix):
		return as.revokeAccessToken(r.Context(), client, storage.HashOf(token))
	}
	return nil
}

func (as *AuthorizationServer) revokeRefreshToken(ctx context.Context, client *authenticated, presented string) error {
	token, err := as.lookup.Refresh(ctx, presented)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return oauth.Unavailable(err)
	}
	if token.Issuer != as.cfg.Issuer || token.ClientID != client.ID {
		return nil
	}
	if token.Authenticated && !client.Proved {
		return errUnproved
	}
	return as.Grants.Revoke(ctx, token.GrantID)
}

func (as *AuthorizationServer) revokeAccessToken(ctx context.Context, client *authenticated, h storage.Hash) error {
	revoked, err := as.deps.Store.RevokeAccessToken(ctx, h, as.cfg.Issuer, client.ID)
	if err != nil {
		return oauth.Unavailable(err)
	}
	if revoked {
		as.deps.Tokens.Revoked(h)
	}
	return nil
}
