package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// RefreshToken implements storage.AuthStore.
func (s *authStore) RefreshToken(ctx context.Context, h storage.Hash, now time.Time) (storage.RefreshToken, storage.Grant, error) {
	type both struct {
		token storage.RefreshToken
		grant storage.Grant
	}
	b, err := view(ctx, s.engine, func(r Reader) (b both, err error) {
		var found bool
		if b.token, found, err = getRefreshToken(r, h); err != nil {
			return b, err
		}
		if !found || ended(b.token.ExpiresAt, now) {
			return b, storage.ErrNotFound
		}
		if b.grant, found, err = filledGrant(r, b.token.GrantID, now); err != nil {
			return b, err
		}
		if !found || ended(b.grant.ExpiresAt, now) {
			return b, storage.ErrNotFound
		}
		return b, nil
	})
	return b.token, b.grant, err
}

// RotateRefreshToken implements storage.AuthStore.
func (s *authStore) RotateRefreshToken(ctx context.Context, r storage.Rotation) (storage.RotationResult, error) {
	return update(ctx, s.engine, func(tx Tx) (storage.RotationResult, error) { return rotate(tx, r) })
}

func rotate(tx Tx, r storage.Rotation) (res storage.RotationResult, err error) {
	if was, err := useUpIfAny(tx, r.UsesUp, r.Now); was || err != nil {
		res.Verdict = storage.AlreadyUsed
		return res, err
	}
	t, found, err := getRefreshToken(tx, r.Hash)
	if err != nil {
		return res, err
	}
	if !found || !t.RotatedAt.IsZero() && r.GrantID != "" && ended(t.ExpiresAt, r.Now) {
		return reuseUnrecorded(tx, r)
	}
	if t.Issuer != r.Issuer || t.ClientID != r.ClientID {
		res.Verdict = storage.WrongClient
		return res, nil
	}
	g, found, err := filledGrant(tx, t.GrantID, r.Now)
	if err != nil {
		return res, err
	}
	res.Verdict = grantVerdict(g, found, r.Now)
	if res.Verdict == storage.OK && ended(t.ExpiresAt, r.Now) {
		res.Verdict = storage.Expired
	}
	if res.Verdict != storage.OK {
		return res, nil
	}
	if !t.RotatedAt.IsZero() {
		return reuse(tx, t, g, r)
	}
	return replaceToken(tx, t, g, r)
}

// reuseUnrecorded answers for a token without record. One that proves to belong to a
// grant was issued under it and used before its successor was, or it would have
// one.
func reuseUnrecorded(tx Tx, r storage.Rotation) (res storage.RotationResult, err error) {
	if r.GrantID == "" {
		return res, nil
	}
	g, found, err := filledGrant(tx, r.GrantID, r.Now)
	if err != nil {
		return res, err
	}
	if found && (g.Issuer != r.Issuer || g.ClientID != r.ClientID) {
		res.Verdict = storage.WrongClient
		return res, nil
	}
	if res.Verdict = grantVerdict(g, found, r.Now); res.Verdict != storage.OK {
		return res, nil
	}
	res.Verdict = storage.Replayed
	res.Revocation, err = revokeGrant(tx, g.ID, r.Now)
	return res, err
}

// replaceToken replaces the head of the family.
func replaceToken(tx Tx, t storage.RefreshToken, g storage.Grant, r storage.Rotation) (res storage.RotationResult, err error) {
	if r.Issue.Refresh == nil || r.GrantID != "" && r.GrantID != g.ID {
		return res, errForeignIssue
	}
	if err := forget(tx, t.Predecessor); err != nil {
		return res, err
	}
	next := *r.Issue.Refresh
	if r.GrantID != "" {
		next.Predecessor = &t.Hash
	}
	r.Issue.Refresh = &next
	t.RotatedAt = r.Now
	t.Successor = &r.Issue.Refresh.Hash
	if err := putRefreshToken(tx, t); err != nil {
		return res, err
	}
	if r.Grace > 0 && len(r.Replay) > 0 {
		// The window's last instant still counts.
		if err := putReplay(tx, t.Hash, r.Replay, r.Now.Add(r.Grace+1)); err != nil {
			return res, err
		}
	}
	res.Verdict = storage.OK
	res.Grant, res.Revocation, err = issue(tx, g, r.Issue, r.Now)
	return res, err
}

// reuse answers for a token that was rotated before: a client that lost the
// response gets it again, anybody else ends the family (RFC 9700 section 4.14.2).
func reuse(tx Tx, t storage.RefreshToken, g storage.Grant, r storage.Rotation) (res storage.RotationResult, err error) {
	unused := g.RefreshToken != nil && *g.RefreshToken == *t.Successor
	if r.Grace > 0 && r.Now.Sub(t.RotatedAt) <= r.Grace && unused {
		if res.Replay, err = getReplay(tx, t.Hash); err != nil {
			return res, err
		}
	}
	if res.Replay != nil {
		res.Verdict = storage.Repeated
		res.Grant = g
		return res, nil
	}
	res.Verdict = storage.Replayed
	res.Revocation, err = revokeGrant(tx, g.ID, r.Now)
	return res, err
}

// forget removes the record of a token that is recognised without, and what was
// kept to repeat its outcome.
func forget(tx Tx, h *storage.Hash) error {
	if h == nil {
		return nil
	}
	if err := tx.Delete(hashKey(kindRefresh, *h)); err != nil {
		return err
	}
	return tx.Delete(replayKey(*h))
}

func getRefreshToken(r Reader, h storage.Hash) (storage.RefreshToken, bool, error) {
	t, found, err := getBinary(r, hashKey(kindRefresh, h), record.RefreshToken)
	t.Hash = h
	return t, found, err
}

func putRefreshToken(tx Tx, t storage.RefreshToken) error {
	return tx.Put(hashKey(kindRefresh, t.Hash), record.AppendRefreshToken(record.New(record.Until(t.ExpiresAt), 256), t))
}

// getReplay returns a copy of the sealed response, or nil when there is none.
func getReplay(r Reader, h storage.Hash) ([]byte, error) {
	v := r.Get(replayKey(h))
	if v == nil {
		return nil, nil
	}
	_, body, err := record.Open(v)
	if err != nil {
		return nil, err
	}
	return append([]byte{}, body...), nil
}

func putReplay(tx Tx, h storage.Hash, replay []byte, keepUntil time.Time) error {
	return tx.Put(replayKey(h), append(record.New(record.Until(keepUntil), len(replay)), replay...))
}
