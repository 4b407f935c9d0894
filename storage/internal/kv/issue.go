package kv

import (
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var errForeignIssue = errors.New("storage: the tokens to issue belong to another grant")

// issue stores the tokens of one response and renews the grant. Beyond
// storage.MaxAccessTokens the oldest access tokens end.
func issue(tx Tx, g storage.Grant, i storage.Issue, now time.Time) (storage.Grant, storage.Revocation, error) {
	var rev storage.Revocation
	if i.Access.GrantID != g.ID || i.Refresh != nil && i.Refresh.GrantID != g.ID {
		return g, rev, errForeignIssue
	}
	live, err := liveAccessTokens(tx, g.AccessTokens, now)
	if err != nil {
		return g, rev, err
	}
	g.AccessTokens = append(live, i.Access.Hash)
	if excess := len(g.AccessTokens) - storage.MaxAccessTokens; excess > 0 {
		rev.AccessTokens = g.AccessTokens[:excess:excess]
		g.AccessTokens = g.AccessTokens[excess:]
	}
	for _, h := range rev.AccessTokens {
		if err := tx.Delete(hashKey(kindAccess, h)); err != nil {
			return g, rev, err
		}
	}
	if err := putAccessToken(tx, i.Access); err != nil {
		return g, rev, err
	}
	if i.Refresh != nil {
		if err := putRefreshToken(tx, *i.Refresh); err != nil {
			return g, rev, err
		}
		g.RefreshToken = &i.Refresh.Hash
	}
	g.ExpiresAt = i.GrantExpiresAt
	if g.ExpiresAt.After(g.AbsoluteExpiresAt) {
		g.ExpiresAt = g.AbsoluteExpiresAt
	}
	g.LastUsedAt = now
	return g, rev, putGrant(tx, g, latest(g.ExpiresAt, i.Access.ExpiresAt))
}

// liveAccessTokens returns those that did not end.
func liveAccessTokens(r Reader, hashes []storage.Hash, now time.Time) ([]storage.Hash, error) {
	live := make([]storage.Hash, 0, len(hashes)+1)
	for _, h := range hashes {
		end, found, err := getBinary(r, hashKey(kindAccess, h), decodeAccessTokenEnd)
		if err != nil {
			return nil, err
		}
		if found && !ended(end, now) {
			live = append(live, h)
		}
	}
	return live, nil
}
