package tokens

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Lookup finds what is known of a code or token that a client presents.
type Lookup struct {
	store   storage.AuthStore
	refresh *RefreshTokens
	now     func() time.Time
}

// NewLookup returns a lookup in the store. Refresh tokens without a record are
// recognised by refresh.
func NewLookup(store storage.AuthStore, refresh *RefreshTokens, now func() time.Time) *Lookup {
	return &Lookup{store: store, refresh: refresh, now: now}
}

// Refresh returns a refresh token, or what one without record proves to be. It
// returns storage.ErrNotFound or a store failure.
func (l *Lookup) Refresh(ctx context.Context, presented string) (storage.RefreshToken, error) {
	now := l.now()
	token, _, err := l.store.RefreshToken(ctx, storage.HashOf(presented), now)
	if !errors.Is(err, storage.ErrNotFound) {
		return token, err
	}
	id := l.refresh.GrantID(presented)
	if id == "" {
		return token, storage.ErrNotFound
	}
	grant, err := l.store.Grant(ctx, id, now)
	return storage.RefreshToken{GrantID: grant.ID, Issuer: grant.Issuer, ClientID: grant.ClientID, ExpiresAt: grant.ExpiresAt}, err
}

// IssuedTo returns who issued a code or token, and to which client. It returns
// storage.ErrNotFound or a store failure.
func (l *Lookup) IssuedTo(ctx context.Context, presented string) (issuer, clientID string, err error) {
	now, hash := l.now(), storage.HashOf(presented)
	switch {
	case strings.HasPrefix(presented, CodePrefix):
		code, err := l.store.Code(ctx, hash, now)
		return code.Issuer, code.ClientID, err
	case strings.HasPrefix(presented, RefreshPrefix):
		token, err := l.Refresh(ctx, presented)
		return token.Issuer, token.ClientID, err
	case IsAccessToken(presented):
		token, err := l.store.AccessToken(ctx, hash, now)
		return token.Issuer, token.ClientID, err
	}
	return "", "", storage.ErrNotFound
}
