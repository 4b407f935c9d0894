package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// AccessToken implements storage.AuthStore.
func (s *authStore) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	b, err := view(ctx, s.db, body, `select body from {}access_tokens where hash = $1`, key(h))
	if err != nil {
		return storage.AccessToken{}, err
	}
	t, found, err := s.accessToken(h, b)
	return live(t, found && !ended(t.ExpiresAt, now), err)
}

// RevokeAccessToken implements storage.AuthStore.
func (s *authStore) RevokeAccessToken(ctx context.Context, h storage.Hash, issuer, clientID string) (bool, error) {
	return update(ctx, s.db, func(t *tx) (bool, error) {
		var b []byte
		t.query(one(&b), `select body from {}access_tokens where hash = $1 for update`, key(h))
		if err := t.send(); err != nil {
			return false, err
		}
		token, found, err := s.accessToken(h, b)
		if err != nil || !found || token.Issuer != issuer || token.ClientID != clientID {
			return false, err
		}
		t.exec(`delete from {}access_tokens where hash = $1`, key(h))
		return true, nil
	})
}

// family is a grant, which is locked, and how long its access tokens live.
type family struct {
	body []byte
	ends map[storage.Hash]time.Time
}

// lockFamily queues the lock of the grant that the text of a statement, with its
// argument, selects the ID of. Whatever is read after it stays as it is.
func lockFamily(t *tx, f *family, which string, args ...any) {
	f.ends = make(map[storage.Hash]time.Time)
	t.query(one(&f.body), `select body from {}grants where id = (`+which+`) for update`, args...)
	t.query(func(rows pgx.Rows) error {
		for rows.Next() {
			var hash, body []byte
			if err := rows.Scan(&hash, &body); err != nil {
				return err
			}
			end, err := record.AccessTokenEnd(body)
			if err != nil {
				return err
			}
			t.clock.fromDatabase(&end)
			f.ends[storage.Hash(hash)] = end
		}
		return rows.Err()
	}, `select hash, body from {}access_tokens where hash in (select unnest(access_tokens) from {}grants where id = (`+which+`))`, args...)
}

var errForeignIssue = errors.New("storage: the tokens to issue belong to another grant")

// issue stores the tokens of one response and renews the grant. Beyond
// storage.MaxAccessTokens the oldest access tokens end.
func issue(t *tx, g storage.Grant, ends map[storage.Hash]time.Time, i storage.Issue, now time.Time) (storage.Grant, storage.Revocation, error) {
	var rev storage.Revocation
	if i.Access.GrantID != g.ID || i.Refresh != nil && i.Refresh.GrantID != g.ID {
		return g, rev, errForeignIssue
	}
	live := make([]storage.Hash, 0, len(g.AccessTokens)+1)
	for _, h := range g.AccessTokens {
		if end, found := ends[h]; found && !ended(end, now) {
			live = append(live, h)
		}
	}
	g.AccessTokens = append(live, i.Access.Hash)
	if excess := len(g.AccessTokens) - storage.MaxAccessTokens; excess > 0 {
		rev.AccessTokens = g.AccessTokens[:excess:excess]
		g.AccessTokens = g.AccessTokens[excess:]
		t.exec(`delete from {}access_tokens where hash = any($1)`, keys(rev.AccessTokens))
	}
	putAccessToken(t, i.Access)
	if i.Refresh != nil {
		putRefreshToken(t, *i.Refresh)
		g.RefreshToken = &i.Refresh.Hash
	}
	g.ExpiresAt = i.GrantExpiresAt
	if g.ExpiresAt.After(g.AbsoluteExpiresAt) {
		g.ExpiresAt = g.AbsoluteExpiresAt
	}
	g.LastUsedAt = now
	updateGrant(t, g, latest(g.ExpiresAt, i.Access.ExpiresAt))
	return g, rev, nil
}

func putAccessToken(t *tx, a storage.AccessToken) {
	keep := t.keep(a.ExpiresAt)
	t.clock.toDatabase(accessTimes(&a)...)
	t.exec(`insert into {}access_tokens (hash, keep_until, body) values ($1, $2, $3)
		on conflict (hash) do update set keep_until = excluded.keep_until, body = excluded.body`,
		key(a.Hash), keep, record.AppendAccessToken(nil, a))
}
