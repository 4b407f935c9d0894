package pgstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

const grantByID = `select g.body, p.body from {}grants g left join {}persons p on p.id = g.person where g.id = $1`

// Grant implements storage.AuthStore.
func (s *authStore) Grant(ctx context.Context, id string, now time.Time) (storage.Grant, error) {
	o, err := view(ctx, s.db, oneOwned, grantByID, []byte(id))
	if err != nil {
		return storage.Grant{}, err
	}
	g, found, err := s.filledGrant(o, now)
	if err == nil && found && g.ID != id {
		err = record.ErrCorrupt // somebody moved the record
	}
	return live(g, found && !ended(g.ExpiresAt, now), err)
}

// RevokeGrant implements storage.AuthStore.
func (s *authStore) RevokeGrant(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	return update(ctx, s.db, func(t *tx) (rev storage.Revocation, err error) {
		var b []byte
		t.query(one(&b), `select body from {}grants where id = $1 for update`, []byte(id))
		if err := t.send(); err != nil {
			return rev, err
		}
		g, found, err := s.grant(b)
		if err == nil && found && g.ID != id {
			err = record.ErrCorrupt
		}
		if err != nil || !found {
			return rev, err
		}
		return revoke(t, g, now), nil
	})
}

// ChangeGrant implements storage.AuthStore. An access token that is revoked meanwhile
// stays so.
func (s *authStore) ChangeGrant(ctx context.Context, c storage.GrantChange) (storage.Revocation, error) {
	return update(ctx, s.db, func(t *tx) (rev storage.Revocation, err error) {
		var f family
		lockFamily(t, &f, `$1::bytea`, []byte(c.ID))
		if err := t.send(); err != nil {
			return rev, err
		}
		g, found, err := s.filledGrant(f.owned, c.Now)
		if err == nil && found && g.ID != c.ID {
			err = record.ErrCorrupt // somebody moved the record
		}
		if err != nil {
			return rev, err
		}
		if grantVerdict(g, found, c.Now) != storage.OK {
			return rev, storage.ErrNotFound
		}
		if err := c.Apply(&g); err != nil {
			return rev, err
		}
		keepUntil := g.ExpiresAt
		for hash, body := range f.tokens {
			a, _, err := s.accessToken(hash, body)
			if err != nil {
				return rev, err
			}
			g.Limit(&a)
			keepUntil = latest(keepUntil, a.ExpiresAt)
			keep := t.keep(a.ExpiresAt)
			t.clock.ToDatabase(accessTimes(&a)...)
			t.exec(`update {}access_tokens set keep_until = $2, body = $3 where hash = $1`, key(hash), keep, record.AppendAccessToken(nil, a))
		}
		updateGrant(t, g, keepUntil)
		rev = storage.Revocation{AccessTokens: g.AccessTokens, GrantIDs: []string{g.ID}}
		t.tell(storage.Change{Kind: storage.TokensEnded, Revocation: rev})
		return rev, nil
	})
}

// maxPage bounds how many records one page looks at.
const maxPage = 4096

// Grants implements storage.AuthStore.
func (s *authStore) Grants(ctx context.Context, after string, limit int, now time.Time) ([]storage.Grant, string, error) {
	return s.grants(ctx, "id > $1 and $5::bytea is null", nil, after, limit, now)
}

// GrantsOfClient implements storage.AuthStore.
func (s *authStore) GrantsOfClient(ctx context.Context, issuer, clientID, after string, limit int, now time.Time) ([]storage.Grant, string, error) {
	grants, next, err := s.grants(ctx, "id > $1 and of_client = $5", record.Digest(issuer, clientID), after, limit, now)
	grants = slices.DeleteFunc(grants, func(g storage.Grant) bool { return g.Issuer != issuer || g.ClientID != clientID })
	return grants, next, err
}

// grants returns a page of those that meet the condition, which may know a client.
func (s *authStore) grants(ctx context.Context, condition string, client []byte, after string, limit int, now time.Time) (grants []storage.Grant, next string, err error) {
	limit = min(max(limit, 0), maxPage)
	at := now
	s.clock.ToDatabase(&at)
	type page struct {
		found []owned
		last  []byte // the ID of the last that was looked at, or handed out
		more  bool
	}
	p, err := view(ctx, s.db, func(rows pgx.Rows) (p page, err error) {
		seen := 0
		for rows.Next() {
			var id []byte
			var o owned
			if err := rows.Scan(&id, &o.body, &o.person, &seen); err != nil {
				return p, err
			}
			switch {
			case o.body == nil: // the end of what was looked at
				p.last, p.more = id, seen == maxPage
			case len(p.found) == limit:
				p.more = true
				return p, nil
			default:
				p.found, p.last = append(p.found, o), id
			}
		}
		return p, rows.Err()
	}, `with page as (select id, of_subject, ends_at, body, person, count(*) over () as seen from (
			select id, of_subject, ends_at, body, person from {}grants where `+condition+` order by id limit $2) p),
		live as (select id, body, person, seen from page where of_subject is not null and ends_at > $3 order by id limit $4)
		select found.id, found.body, p.body, seen from (
			select id, body, person, seen from live
			union all (select id, null, null, seen from page where (select count(*) from live) < $4 order by id desc limit 1)
		) found left join {}persons p on p.id = found.person order by found.body is null, found.id`,
		[]byte(after), maxPage, record.Nanos(at), limit+1, client)
	if err != nil {
		return nil, "", err
	}
	for _, o := range p.found {
		g, found, err := s.filledGrant(o, now)
		if err == nil && grantVerdict(g, found, now) == storage.OK {
			grants = append(grants, g)
		} // a damaged one lets nobody in, and must not hide those behind it
	}
	if p.more {
		next = string(p.last)
	}
	return grants, next, nil
}

const grantsOfSubject = `select g.body, p.body from {}grants g left join {}persons p on p.id = g.person where g.of_subject = $1`

// GrantsOf implements storage.AuthStore.
func (s *authStore) GrantsOf(ctx context.Context, issuer, subject string, now time.Time) ([]storage.Grant, error) {
	all, err := view(ctx, s.db, manyOwned, grantsOfSubject, record.Digest(issuer, subject))
	if err != nil {
		return nil, err
	}
	var grants []storage.Grant
	for _, o := range all {
		g, found, err := s.filledGrant(o, now)
		if err != nil {
			return nil, err
		}
		if grantVerdict(g, found, now) == storage.OK && g.Issuer == issuer && g.Identity.Subject == subject {
			grants = append(grants, g)
		}
	}
	slices.SortFunc(grants, func(a, b storage.Grant) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return grants, nil
}

// lastGrantOf is the newest that is not revoked. A body begins with when the grant was
// made, in an order that sorts, whatever version wrote it; an index has that.
const lastGrantOf = `select g.body, p.body from (
		select body, person from {}grants where of_subject = $1 and of_client = $2 and ends_at > $3
		order by substring(body from 1 for 12) desc, id desc limit 1
	) g left join {}persons p on p.id = g.person`

// LastGrant implements storage.AuthStore.
func (s *authStore) LastGrant(ctx context.Context, issuer, subject, clientID string, now time.Time) (storage.Grant, error) {
	ofSubject, ofClient := record.Digest(issuer, subject), record.Digest(issuer, clientID)
	o, err, is := known[owned](ctx, s.db, lastGrantOf, ofSubject, ofClient) // whether or not it has ended
	if !is {
		o, err = view(ctx, s.db, oneOwned, lastGrantOf, ofSubject, ofClient, s.nanos(now))
	}
	if err != nil || o.body == nil {
		return storage.Grant{}, cmp.Or(err, storage.ErrNotFound)
	}
	g, found, err := s.filledGrant(o, now)
	if err != nil {
		return storage.Grant{}, err
	}
	if grantVerdict(g, found, now) == storage.OK && g.Issuer == issuer && g.Identity.Subject == subject && g.ClientID == clientID {
		return g, nil
	}
	// It ended meanwhile, or is of who they were before: that is rare.
	all, err := s.GrantsOf(ctx, issuer, subject, now)
	for _, g := range slices.Backward(all) {
		if g.ClientID == clientID {
			return g, nil
		}
	}
	return storage.Grant{}, cmp.Or(err, storage.ErrNotFound)
}

// grantVerdict tells whether tokens may be issued under a grant: OK, Expired or Revoked.
func grantVerdict(g storage.Grant, found bool, now time.Time) storage.Verdict {
	switch {
	case !found:
		return storage.Expired
	case !g.RevokedAt.IsZero():
		return storage.Revoked
	case ended(g.ExpiresAt, now):
		return storage.Expired
	}
	return storage.OK
}

// insertGrant stores a new grant, in a queue if it is in one.
func insertGrant(t *tx, g storage.Grant, code storage.Hash, p place) {
	t.exec(`insert into {}grants (id, of_client, of_subject, person, access_tokens, refresh_token, code,
			queue_sender, queue_group, queued_at, ends_at, keep_until, body)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		[]byte(g.ID), record.Digest(g.Issuer, g.ClientID), record.Digest(g.Issuer, g.Identity.Subject), personOf(g.Issuer, g.Identity),
		keys(g.AccessTokens), optional(g.RefreshToken), key(code),
		p.sender, p.group, queuedAt(t.db, p), t.nanos(g.ExpiresAt), t.keep(g.ExpiresAt), grantBody(t, g))
}

// updateGrant keeps the grant until the given time: never less than its tokens,
// which only the grant can find again.
func updateGrant(t *tx, g storage.Grant, keepUntil time.Time) {
	t.exec(`update {}grants set access_tokens = $2, refresh_token = $3, ends_at = $4, keep_until = $5, body = $6 where id = $1`,
		[]byte(g.ID), keys(g.AccessTokens), optional(g.RefreshToken), t.nanos(g.ExpiresAt), t.keep(keepUntil), grantBody(t, g))
}

func grantBody(t *tx, g storage.Grant) []byte {
	t.clock.ToDatabase(grantTimes(&g)...)
	return record.AppendGrant(nil, g)
}

// revoke revokes a grant that is locked, unless it is revoked, and removes its
// access tokens. Its code and refresh tokens stay, to be recognised.
func revoke(t *tx, g storage.Grant, now time.Time) (rev storage.Revocation) {
	if !g.RevokedAt.IsZero() {
		return rev
	}
	rev = storage.Revocation{AccessTokens: g.AccessTokens, GrantIDs: []string{g.ID}}
	t.exec(`delete from {}access_tokens where hash = any($1)`, keys(g.AccessTokens))
	g.RevokedAt, g.AccessTokens = now, nil
	t.exec(`update {}grants set of_client = null, of_subject = null, access_tokens = array[]::bytea[], keep_until = $2, body = $3 where id = $1`,
		[]byte(g.ID), t.keep(g.ExpiresAt), grantBody(t, g))
	t.tell(storage.Change{Kind: storage.TokensEnded, Revocation: rev})
	return rev
}

// revokeClientGrants revokes every grant of a client.
func revokeClientGrants(t *tx, issuer, clientID string, now time.Time) (all storage.Revocation, err error) {
	var found [][]byte
	t.query(many(&found), `select body from {}grants where of_client = $1 order by id for update`, record.Digest(issuer, clientID))
	if err := t.send(); err != nil {
		return all, err
	}
	for _, b := range found {
		g, _, err := t.grant(b)
		if err != nil {
			return all, err
		}
		if g.Issuer != issuer || g.ClientID != clientID {
			continue
		}
		rev := revoke(t, g, now)
		all.GrantIDs = append(all.GrantIDs, rev.GrantIDs...)
		all.AccessTokens = append(all.AccessTokens, rev.AccessTokens...)
	}
	return all, nil
}
