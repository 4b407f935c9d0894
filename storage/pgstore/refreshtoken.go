package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// RefreshToken implements storage.AuthStore.
func (s *authStore) RefreshToken(ctx context.Context, h storage.Hash, now time.Time) (storage.RefreshToken, storage.Grant, error) {
	type both struct {
		token []byte
		grant owned
	}
	b, err := view(ctx, s.db, func(rows pgx.Rows) (b both, err error) {
		for rows.Next() {
			if err := rows.Scan(&b.token, &b.grant.body, &b.grant.person); err != nil {
				return b, err
			}
		}
		return b, rows.Err()
	}, `select r.body, g.body, p.body from {}refresh_tokens r join {}grants g on g.id = r.grant_id
		left join {}persons p on p.id = g.person where r.hash = $1`, key(h))
	if err != nil {
		return storage.RefreshToken{}, storage.Grant{}, err
	}
	t, found, err := s.refreshToken(h, b.token)
	if t, err = live(t, found && !ended(t.ExpiresAt, now), err); err != nil {
		return t, storage.Grant{}, err
	}
	g, found, err := s.filledGrant(b.grant, now)
	if err == nil && found && t.GrantID != g.ID {
		err = record.ErrCorrupt // somebody moved the record
	}
	if g, err = live(g, found && !ended(g.ExpiresAt, now), err); err != nil {
		return storage.RefreshToken{}, g, err
	}
	return t, g, nil
}

// presented is what there is of a refresh token that is exchanged.
type presented struct {
	family
	token, replay, once []byte
}

// lockPresented reads the token and locks its grant; of one without record, the
// grant that it proves to belong to.
func lockPresented(t *tx, p *presented, r storage.Rotation) {
	var grantID []byte // no record, no proof: no grant
	if r.GrantID != "" {
		grantID = []byte(r.GrantID)
	}
	lockFamily(t, &p.family, `select coalesce((select grant_id from {}refresh_tokens where hash = $1), $2)`, key(r.Hash), grantID)
	t.query(one(&p.token), `select body from {}refresh_tokens where hash = $1`, key(r.Hash))
	t.query(one(&p.replay), `select body from {}replays where hash = $1`, key(r.Hash))
	holdIfAny(t, &p.once, r.UsesUp)
}

// RotateRefreshToken implements storage.AuthStore.
func (s *authStore) RotateRefreshToken(ctx context.Context, r storage.Rotation) (storage.RotationResult, error) {
	return update(ctx, s.db, func(t *tx) (storage.RotationResult, error) { return rotate(t, r) })
}

func rotate(t *tx, r storage.Rotation) (res storage.RotationResult, err error) {
	var p presented
	lockPresented(t, &p, r)
	if err := t.send(); err != nil {
		return res, err
	}
	if was, err := useUpIfAny(t, p.once, r.UsesUp, r.Now); was || err != nil {
		res.Verdict = storage.AlreadyUsed
		return res, err
	}
	token, found, err := t.refreshToken(r.Hash, p.token)
	if err != nil {
		return res, err
	}
	g, there, err := t.filledGrant(p.owned, r.Now)
	if err == nil && found && there && token.GrantID != g.ID {
		err = record.ErrCorrupt // somebody moved the record
	}
	if err != nil {
		return res, err
	}
	if !found || !token.RotatedAt.IsZero() && r.GrantID != "" && ended(token.ExpiresAt, r.Now) {
		return reuseUnrecorded(t, g, there, r)
	}
	if token.Issuer != r.Issuer || token.ClientID != r.ClientID {
		res.Verdict = storage.WrongClient
		return res, nil
	}
	res.Verdict = grantVerdict(g, there, r.Now)
	if res.Verdict == storage.OK && ended(token.ExpiresAt, r.Now) {
		res.Verdict = storage.Expired
	}
	if res.Verdict != storage.OK {
		return res, nil
	}
	if !token.RotatedAt.IsZero() {
		return reuse(t, token, g, p.replay, r), nil
	}
	return replaceToken(t, token, g, p.ends, r)
}

// reuseUnrecorded answers for a token without record. One that proves to belong to a
// grant was issued under it and used before its successor was, or it would have
// one.
func reuseUnrecorded(t *tx, g storage.Grant, found bool, r storage.Rotation) (res storage.RotationResult, err error) {
	if r.GrantID == "" {
		return res, nil
	}
	if found && (g.ID != r.GrantID || g.Issuer != r.Issuer || g.ClientID != r.ClientID) {
		res.Verdict = storage.WrongClient
		return res, nil
	}
	if res.Verdict = grantVerdict(g, found, r.Now); res.Verdict != storage.OK {
		return res, nil
	}
	res.Verdict = storage.Replayed
	res.Revocation = revoke(t, g, r.Now)
	return res, nil
}

// replaceToken replaces the head of the family.
func replaceToken(t *tx, token storage.RefreshToken, g storage.Grant, ends map[storage.Hash]time.Time, r storage.Rotation) (res storage.RotationResult, err error) {
	if r.Issue.Refresh == nil || r.GrantID != "" && r.GrantID != g.ID {
		return res, errForeignIssue
	}
	if before := token.Predecessor; before != nil { // recognised without its record from now on
		t.exec(`delete from {}replays where hash = $1`, key(*before))
		t.exec(`delete from {}refresh_tokens where hash = $1`, key(*before))
	}
	next := *r.Issue.Refresh
	if r.GrantID != "" {
		next.Predecessor = &token.Hash
	}
	r.Issue.Refresh = &next
	token.RotatedAt = r.Now
	token.Successor = &next.Hash
	putRefreshToken(t, token)
	if r.Grace > 0 && len(r.Replay) > 0 {
		// The window's last instant still counts.
		t.exec(`insert into {}replays (hash, keep_until, body) values ($1, $2, $3)
			on conflict (hash) do update set keep_until = excluded.keep_until, body = excluded.body`,
			key(token.Hash), t.keep(r.Now.Add(r.Grace+1)), r.Replay)
	}
	res.Verdict = storage.OK
	res.Grant, res.Revocation, err = issue(t, g, ends, r.Issue, r.Now)
	return res, err
}

// reuse answers for a token that was rotated before: a client that lost the
// response gets it again, anybody else ends the family (RFC 9700 section 4.14.2).
func reuse(t *tx, token storage.RefreshToken, g storage.Grant, replay []byte, r storage.Rotation) (res storage.RotationResult) {
	unused := g.RefreshToken != nil && *g.RefreshToken == *token.Successor
	if r.Grace > 0 && r.Now.Sub(token.RotatedAt) <= r.Grace && unused && replay != nil {
		return storage.RotationResult{Verdict: storage.Repeated, Grant: g, Replay: replay}
	}
	res.Verdict = storage.Replayed
	res.Revocation = revoke(t, g, r.Now)
	return res
}

func putRefreshToken(t *tx, r storage.RefreshToken) {
	keep := t.keep(r.ExpiresAt)
	t.clock.ToDatabase(refreshTimes(&r)...)
	t.exec(`insert into {}refresh_tokens (hash, grant_id, predecessor, keep_until, body) values ($1, $2, $3, $4, $5)
		on conflict (hash) do update set predecessor = excluded.predecessor, keep_until = excluded.keep_until, body = excluded.body`,
		key(r.Hash), []byte(r.GrantID), optional(r.Predecessor), keep, record.AppendRefreshToken(nil, r))
}
