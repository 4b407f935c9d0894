package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
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
		var b, once []byte
		lockFamily(t, &f, `select grant_id from {}codes where hash = $1`, key(c.Hash))
		t.query(one(&b), `select body from {}codes where hash = $1 for update`, key(c.Hash))
		holdIfAny(t, &once, c.UsesUp)
		if err := t.send(); err != nil {
			return res, err
		}
		if was, err := useUpIfAny(t, once, c.UsesUp, c.Now); was || err != nil {
			res.Verdict = storage.AlreadyUsed
			return res, err
		}
		code, found, err := s.code(c.Hash, b)
		if err != nil || !found {
			return res, err
		}
		g, there, err := s.grant(f.body)
		if err == nil && there && code.GrantID != g.ID {
			err = record.ErrCorrupt // somebody moved the record
		}
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
		if g, there, err = s.filledGrant(f.owned, c.Now); err != nil {
			return res, err
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

// IssueGrant implements storage.AuthStore.
func (s *authStore) IssueGrant(ctx context.Context, of storage.ServiceGrant) (storage.Verdict, error) {
	if err := of.Check(); err != nil {
		return storage.Unknown, err
	}
	return update(ctx, s.db, func(t *tx) (storage.Verdict, error) {
		g := of.Grant
		g.AccessTokens, g.LastUsedAt = []storage.Hash{of.Access.Hash}, of.Now
		q := &queue{
			table: "grants", id: []byte(g.ID), place: place{sender: record.Digest("service grants", g.Issuer, g.Identity.Subject), at: g.CreatedAt},
			ofSender: of.Max, spare: spareGrants(t, of.Now), drop: dropGrant(t),
		}
		var once []byte
		lockQueue(t, q)
		look(t, q)
		holdIfAny(t, &once, of.UsesUp)
		if err := t.send(); err != nil {
			return storage.Unknown, err
		}
		if was, err := useUpIfAny(t, once, of.UsesUp, of.Now); was || err != nil {
			return storage.AlreadyUsed, err
		}
		insertGrant(t, g, storage.Hash{}, q.place) // it has no code
		putAccessToken(t, of.Access)
		return storage.OK, enter(t, q)
	})
}

// AccessToken implements storage.AuthStore.
func (s *authStore) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	o, err := view(ctx, s.db, oneOwned, `select t.body, p.body from {}access_tokens t left join {}persons p on p.id = t.person where t.hash = $1`, key(h))
	if err != nil {
		return storage.AccessToken{}, err
	}
	t, found, err := s.accessToken(h, o.body)
	if err == nil && found {
		found, err = s.fill(t.Issuer, &t.Identity, o.person, now)
	}
	return live(t, found && !ended(t.ExpiresAt, now), err)
}

// RevokeAccessToken implements storage.AuthStore.
func (s *authStore) RevokeAccessToken(ctx context.Context, h storage.Hash, issuer, clientID string, now time.Time) (bool, error) {
	return update(ctx, s.db, func(t *tx) (bool, error) {
		var b []byte
		t.query(one(&b), `select body from {}access_tokens where hash = $1 for update`, key(h))
		if err := t.send(); err != nil {
			return false, err
		}
		token, found, err := s.accessToken(h, b)
		if err != nil || !found || token.Issuer != issuer || token.ClientID != clientID || ended(token.ExpiresAt, now) {
			return false, err
		}
		t.exec(`delete from {}access_tokens where hash = $1`, key(h))
		t.tell(storage.Change{Kind: storage.TokensEnded, Revocation: storage.Revocation{AccessTokens: []storage.Hash{h}}})
		return true, nil
	})
}

// family is a grant, which is locked, its person, and its access tokens with how long
// they live.
type family struct {
	owned
	ends   map[storage.Hash]time.Time
	tokens map[storage.Hash][]byte
}

// lockFamily queues the lock of the grant that the text of a statement, with its
// argument, selects the ID of. Whatever is read after it stays as it is.
func lockFamily(t *tx, f *family, which string, args ...any) {
	f.ends, f.tokens = make(map[storage.Hash]time.Time), make(map[storage.Hash][]byte)
	t.query(one(&f.body), `select body from {}grants where id = (`+which+`) for update`, args...)
	t.query(one(&f.person), `select p.body from {}grants g join {}persons p on p.id = g.person where g.id = (`+which+`)`, args...)
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
			t.clock.FromDatabase(&end)
			f.ends[storage.Hash(hash)], f.tokens[storage.Hash(hash)] = end, body
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
	g.Limit(&i.Access)
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
	t.clock.ToDatabase(accessTimes(&a)...)
	t.exec(`insert into {}access_tokens (hash, person, keep_until, body) values ($1, $2, $3, $4)
		on conflict (hash) do update set person = excluded.person, keep_until = excluded.keep_until, body = excluded.body`,
		key(a.Hash), personOf(a.Issuer, a.Identity), keep, record.AppendAccessToken(nil, a))
}
