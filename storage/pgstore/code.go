package pgstore

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Code implements storage.AuthStore.
func (s *authStore) Code(ctx context.Context, h storage.Hash, now time.Time) (storage.Code, error) {
	b, err := view(ctx, s.db, body, `select body from {}codes where hash = $1`, key(h))
	if err != nil {
		return storage.Code{}, err
	}
	c, found, err := s.code(h, b)
	return live(c, found && (c.Claimed || !ended(c.ExpiresAt, now)), err)
}

// ClaimCode implements storage.AuthStore. The lock of the grant decides who
// redeems its code; that of the code is for a grant that is gone.
func (s *authStore) ClaimCode(ctx context.Context, c storage.CodeClaim) (storage.CodeResult, error) {
	return update(ctx, s.db, func(t *tx) (res storage.CodeResult, err error) {
		var f family
		var b []byte
		lockFamily(t, &f, `select grant_id from {}codes where hash = $1`, key(c.Hash))
		t.query(one(&b), `select body from {}codes where hash = $1 for update`, key(c.Hash))
		if err := t.send(); err != nil {
			return res, err
		}
		code, found, err := s.code(c.Hash, b)
		if err != nil || !found {
			return res, err
		}
		g, there, err := s.grant(f.body)
		if err != nil {
			return res, err
		}
		res.Verdict = claimVerdict(code, c)
		switch {
		case res.Verdict == storage.Replayed && there:
			// RFC 6749 section 4.1.2: a code used twice revokes what it yielded.
			res.Revocation = revoke(t, g, c.Now)
		case res.Verdict == storage.ProofFailed && !code.ProofFailed && !code.Claimed:
			code.ProofFailed = true
			return res, updateCode(t, code, code.ExpiresAt)
		}
		if res.Verdict != storage.OK {
			return res, nil
		}
		if res.Verdict = grantVerdict(g, there, c.Now); res.Verdict != storage.OK {
			return res, nil
		}
		code.Claimed = true
		if err := updateCode(t, code, g.AbsoluteExpiresAt); err != nil {
			return res, err
		}
		res.Grant, res.Revocation, err = issue(t, g, f.ends, c.Issue, c.Now)
		return res, err
	})
}

// claimVerdict tells what a claim comes to, the grant left aside.
func claimVerdict(code storage.Code, c storage.CodeClaim) storage.Verdict {
	proven := c.Challenge != "" && c.Challenge == code.Challenge
	switch {
	case code.Issuer != c.Issuer, code.ClientID != c.ClientID,
		c.RedirectURI != "" && c.RedirectURI != code.RedirectURI:
		return storage.WrongClient
	case code.ProofFailed, code.Claimed && !proven:
		return storage.ProofFailed
	case code.Claimed:
		return storage.Replayed
	case ended(code.ExpiresAt, c.Now):
		return storage.Expired
	case !proven:
		return storage.ProofFailed
	}
	return storage.OK
}

func insertCode(t *tx, c storage.Code) error {
	b, err := encode(t.db, c, codeTimes)
	t.exec(`insert into {}codes (hash, grant_id, keep_until, body) values ($1, $2, $3, $4)`,
		key(c.Hash), []byte(c.GrantID), t.keep(c.ExpiresAt), b)
	return err
}

func updateCode(t *tx, c storage.Code, keepUntil time.Time) error {
	b, err := encode(t.db, c, codeTimes)
	t.exec(`update {}codes set keep_until = $2, body = $3 where hash = $1`, key(c.Hash), t.keep(keepUntil), b)
	return err
}
