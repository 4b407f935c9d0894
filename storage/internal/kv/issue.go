package kv

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Code implements storage.AuthStore.
func (s *authStore) Code(ctx context.Context, h storage.Hash, now time.Time) (storage.Code, error) {
	return view(ctx, s.engine, func(r Reader) (storage.Code, error) {
		c, found, err := getCode(r, h)
		if err == nil && (!found || ended(c.ExpiresAt, now) && !c.Claimed) {
			err = storage.ErrNotFound
		}
		if err != nil {
			return storage.Code{}, err
		}
		return c, nil
	})
}

// ClaimCode implements storage.AuthStore.
func (s *authStore) ClaimCode(ctx context.Context, c storage.CodeClaim) (storage.CodeResult, error) {
	return update(ctx, s.engine, func(tx Tx) (storage.CodeResult, error) { return claimCode(tx, c) })
}

func claimCode(tx Tx, c storage.CodeClaim) (res storage.CodeResult, err error) {
	if was, err := useUpIfAny(tx, c.UsesUp, c.Now); was || err != nil {
		res.Verdict = storage.AlreadyUsed
		return res, err
	}
	code, found, err := getCode(tx, c.Hash)
	if err != nil || !found {
		return res, err
	}
	proven := c.Challenge != "" && c.Challenge == code.Challenge
	switch {
	case code.Issuer != c.Issuer, code.ClientID != c.ClientID,
		c.RedirectURI != "" && c.RedirectURI != code.RedirectURI:
		res.Verdict = storage.WrongClient
		return res, nil
	case code.ProofFailed, code.Claimed && !proven:
		res.Verdict = storage.ProofFailed
		return res, nil
	case code.Claimed:
		// RFC 6749 section 4.1.2: a code used twice revokes what it yielded.
		res.Verdict = storage.Replayed
		res.Revocation, err = revokeGrant(tx, code.GrantID, c.Now)
		return res, err
	case ended(code.ExpiresAt, c.Now):
		res.Verdict = storage.Expired
		return res, nil
	case !proven:
		res.Verdict = storage.ProofFailed
		code.ProofFailed = true
		return res, putCode(tx, code, code.ExpiresAt)
	}
	return redeem(tx, code, c)
}

// redeem exchanges a code that was proven for tokens.
func redeem(tx Tx, code storage.Code, c storage.CodeClaim) (res storage.CodeResult, err error) {
	g, found, err := filledGrant(tx, code.GrantID, c.Now)
	if err != nil {
		return res, err
	}
	if res.Verdict = grantVerdict(g, found, c.Now); res.Verdict != storage.OK {
		return res, nil
	}
	code.Claimed = true
	if err := putCode(tx, code, g.AbsoluteExpiresAt); err != nil {
		return res, err
	}
	res.Grant, res.Revocation, err = issue(tx, g, c.Issue, c.Now)
	return res, err
}

func getCode(r Reader, h storage.Hash) (c storage.Code, found bool, err error) {
	found, err = getJSON(r, hashKey(kindCode, h), &c)
	c.Hash = h
	return c, found, err
}

func putCode(tx Tx, c storage.Code, keepUntil time.Time) error {
	return putJSON(tx, hashKey(kindCode, c.Hash), record.Until(keepUntil), c)
}

// IssueGrant implements storage.AuthStore.
func (s *authStore) IssueGrant(ctx context.Context, g storage.ServiceGrant) (storage.Verdict, error) {
	if err := g.Check(); err != nil {
		return storage.Unknown, err
	}
	return update(ctx, s.engine, func(tx Tx) (storage.Verdict, error) {
		if was, err := useUpIfAny(tx, g.UsesUp, g.Now); was || err != nil {
			return storage.AlreadyUsed, err
		}
		return storage.OK, issueGrant(tx, g)
	})
}

func issueGrant(tx Tx, of storage.ServiceGrant) error {
	g := of.Grant
	if err := putGrantIndex(tx, g); err != nil {
		return err
	}
	if _, _, err := issue(tx, g, storage.Issue{Access: of.Access, GrantExpiresAt: g.ExpiresAt}, of.Now); err != nil {
		return err
	}
	b := grantBounds(tx, of.Now)
	b.sender = of.Max
	p := place{sender: record.Digest("service grants", g.Issuer, g.Identity.Subject), at: g.CreatedAt, id: g.ID}
	return enter(tx, p, record.Until(g.AbsoluteExpiresAt), make([]byte, len(storage.Hash{})), b) // it has no code
}

// AccessToken implements storage.AuthStore.
func (s *authStore) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	var t storage.AccessToken
	// Not through view, which costs allocations: this is the read of every
	// call that the gate has not cached.
	err := s.engine.View(ctx, func(r Reader) error {
		token, found, err := getAccessToken(r, h)
		if err == nil && found && token.Identity.Person != "" {
			found, err = fill(r, token.Issuer, &token.Identity, now)
		}
		if err == nil && (!found || ended(token.ExpiresAt, now)) {
			err = storage.ErrNotFound
		}
		t = token
		return err
	})
	if err != nil {
		return storage.AccessToken{}, err
	}
	return t, nil
}

// RevokeAccessToken implements storage.AuthStore.
func (s *authStore) RevokeAccessToken(ctx context.Context, h storage.Hash, issuer, clientID string, now time.Time) (bool, error) {
	return update(ctx, s.engine, func(tx Tx) (bool, error) {
		t, found, err := getAccessToken(tx, h)
		if err != nil || !found || t.Issuer != issuer || t.ClientID != clientID || ended(t.ExpiresAt, now) {
			return false, err
		}
		return true, tx.Delete(hashKey(kindAccess, h))
	})
}

func getAccessToken(r Reader, h storage.Hash) (storage.AccessToken, bool, error) {
	t, found, err := getBinary(r, hashKey(kindAccess, h), record.AccessToken)
	t.Hash = h
	return t, found, err
}

func putAccessToken(tx Tx, t storage.AccessToken) error {
	return tx.Put(hashKey(kindAccess, t.Hash), record.AppendAccessToken(record.New(record.Until(t.ExpiresAt), 256), t))
}

var errForeignIssue = errors.New("storage: the tokens to issue belong to another grant")

// issue stores the tokens of one response and renews the grant. Beyond
// storage.MaxAccessTokens the oldest access tokens end.
func issue(tx Tx, g storage.Grant, i storage.Issue, now time.Time) (storage.Grant, storage.Revocation, error) {
	var rev storage.Revocation
	if i.Access.GrantID != g.ID || i.Refresh != nil && i.Refresh.GrantID != g.ID {
		return g, rev, errForeignIssue
	}
	g.Limit(&i.Access)
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
		end, found, err := getBinary(r, hashKey(kindAccess, h), record.AccessTokenEnd)
		if err != nil {
			return nil, err
		}
		if found && !ended(end, now) {
			live = append(live, h)
		}
	}
	return live, nil
}
