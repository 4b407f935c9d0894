package kv

import (
	"context"
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
