package server

import (
	"context"
	"errors"
	"net/http"
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

// revocationEndpoint is RFC 7009. A refresh token takes its
// whole grant along, an access token only itself. A token that is unknown, or
// another client's, is answered like a revoked one; a store that failed is not.
//
// The prefix says what a token is, so that token_type_hint has nothing to add.
type revocationEndpoint struct {
	cfg          *config.Site
	grants       *grants.Grants
	authenticate authenticate
	lookup       *tokens.Lookup
	store        storage.AuthStore
	cache        *tokens.Cache
	events       *event.Recorder
	now          func() time.Time
}

func (e *revocationEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := e.revokeToken(w, r); err != nil {
		oauth.WriteError(r.Context(), w, e.events, event.RequestRefused, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (e *revocationEndpoint) revokeToken(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseForm(w, r)
	if err != nil {
		return err
	}
	client, err := e.authenticate(r, form)
	if err != nil {
		return err
	}
	token := form.Get("token")
	switch {
	case token == "":
		return oauth.NewError("invalid_request", "The token is missing.")
	case strings.HasPrefix(token, tokens.RefreshPrefix):
		return e.revokeRefreshToken(r.Context(), client, token)
	case tokens.IsAccessToken(token):
		return e.revokeAccessToken(r.Context(), client, storage.HashOf(token))
	}
	return nil
}

func (e *revocationEndpoint) revokeRefreshToken(ctx context.Context, client *clients.Authenticated, presented string) error {
	token, err := e.lookup.Refresh(ctx, presented)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return oauth.Unavailable(err)
	}
	if token.Issuer != e.cfg.Issuer || token.ClientID != client.ID {
		return nil
	}
	if token.Authenticated && !client.Proved {
		return clients.ErrUnproved
	}
	return e.grants.Revoke(ctx, event.Event{Grant: token.GrantID, Client: client.ID, Reason: "revoked", By: event.ByClient})
}

func (e *revocationEndpoint) revokeAccessToken(ctx context.Context, client *clients.Authenticated, h storage.Hash) error {
	revoked, err := e.store.RevokeAccessToken(ctx, h, e.cfg.Issuer, client.ID, e.now())
	if err != nil {
		return oauth.Unavailable(err)
	}
	if revoked {
		e.cache.Revoked(h)
		e.events.Record(ctx, event.Event{Kind: event.TokenRevoked, Client: client.ID, By: event.ByClient})
	}
	return nil
}
