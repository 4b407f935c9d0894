package authz

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// TokenCache is the bounded memory of recently seen access tokens in front of
// a Store. An entry is believed for at most 5 seconds, so that a revocation
// elsewhere, or a store that fails, is noticed; one in this process takes
// effect at once through Forget.
type TokenCache struct{}

// NewTokenCache returns a cache for at most size tokens.
func NewTokenCache(store storage.Store, size int) *TokenCache { return nil }

// Lookup returns the token's record, storage.ErrNotFound, or a store failure.
// The record is shared: callers must not change it.
func (c *TokenCache) Lookup(ctx context.Context, h storage.Hash, now time.Time) (*storage.AccessToken, error) {
	return nil, storage.ErrNotFound
}

// Forget drops what a revocation ended.
func (c *TokenCache) Forget(r storage.Revocation) {}
