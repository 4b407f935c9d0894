package kv

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Grant implements storage.AuthStore.
func (s *authStore) Grant(ctx context.Context, id string, now time.Time) (storage.Grant, error) {
	return view(ctx, s.engine, func(r Reader) (storage.Grant, error) {
		g, found, err := filledGrant(r, id, now)
		if err == nil && (!found || ended(g.ExpiresAt, now)) {
			err = storage.ErrNotFound
		}
		if err != nil {
			return storage.Grant{}, err
		}
		return g, nil
	})
}

// RevokeGrant implements storage.AuthStore.
func (s *authStore) RevokeGrant(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	return update(ctx, s.engine, func(tx Tx) (storage.Revocation, error) { return revokeGrant(tx, id, now) })
}

// ChangeGrant implements storage.AuthStore.
func (s *authStore) ChangeGrant(ctx context.Context, c storage.GrantChange) (storage.Revocation, error) {
	return update(ctx, s.engine, func(tx Tx) (storage.Revocation, error) { return changeGrant(tx, c) })
}

func changeGrant(tx Tx, c storage.GrantChange) (rev storage.Revocation, err error) {
	g, found, err := filledGrant(tx, c.ID, c.Now)
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
	for _, h := range g.AccessTokens {
		t, found, err := getAccessToken(tx, h)
		if err != nil {
			return rev, err
		}
		if !found {
			continue
		}
		g.Limit(&t)
		if err := putAccessToken(tx, t); err != nil {
			return rev, err
		}
		keepUntil = latest(keepUntil, t.ExpiresAt)
	}
	return storage.Revocation{AccessTokens: g.AccessTokens, GrantIDs: []string{g.ID}}, putGrant(tx, g, keepUntil)
}

func getGrant(r Reader, id string) (storage.Grant, bool, error) {
	g, found, err := getBinary(r, idKey(kindGrant, id), record.Grant)
	if err == nil && found && g.ID != id {
		return storage.Grant{}, false, record.ErrCorrupt // somebody moved the record
	}
	return g, found, err
}

// filledGrant is getGrant with the claims. A grant whose person is not there any
// more is absent.
func filledGrant(r Reader, id string, now time.Time) (storage.Grant, bool, error) {
	g, found, err := getGrant(r, id)
	if err == nil && found {
		found, err = fill(r, g.Issuer, &g.Identity, now)
	}
	return g, found && err == nil, err
}

// putGrant keeps the grant until the given time: never less than its tokens,
// which only the grant can find again.
func putGrant(tx Tx, g storage.Grant, keepUntil time.Time) error {
	return tx.Put(idKey(kindGrant, g.ID), record.AppendGrant(record.New(record.Until(keepUntil), 1024), g))
}

// grantIndexKeys are those under which a valid grant is found.
func grantIndexKeys(g storage.Grant) [][]byte {
	return [][]byte{clientGrantKey(g), subjectGrantKey(g)}
}

// putGrantIndex makes a new grant found.
func putGrantIndex(tx Tx, g storage.Grant) error {
	keep, hint := record.Until(g.AbsoluteExpiresAt), grantHint(g)
	if err := tx.Put(clientGrantKey(g), record.New(keep, 0)); err != nil {
		return err
	}
	return tx.Put(subjectGrantKey(g), append(record.New(keep, len(hint)), hint...))
}

// grantHint is what the index of a subject's grants tells of one, so that those of a
// client are found, the newest first, without reading all of them: what never changes of
// a grant. Entries of a version before tell nothing. Who reads the grant compares it.
func grantHint(g storage.Grant) []byte {
	hint := appendSeconds(make([]byte, 0, hintTime+record.DigestSize), g.CreatedAt)
	hint = binary.BigEndian.AppendUint32(hint, uint32(g.CreatedAt.Nanosecond()))
	return append(hint, record.Digest(g.ClientID)...)
}

// hintTime is how much of a grantHint is the time, which sorts.
const hintTime = 8 + 4

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

// revokeGrant revokes a valid grant, and removes its access tokens. Its
// code and refresh tokens stay, to be recognised.
func revokeGrant(tx Tx, id string, now time.Time) (rev storage.Revocation, err error) {
	g, found, err := getGrant(tx, id)
	if err != nil || !found || !g.RevokedAt.IsZero() {
		return rev, err
	}
	for _, h := range g.AccessTokens {
		if err := tx.Delete(hashKey(kindAccess, h)); err != nil {
			return rev, err
		}
	}
	for _, key := range grantIndexKeys(g) {
		if err := tx.Delete(key); err != nil {
			return rev, err
		}
	}
	rev = storage.Revocation{AccessTokens: g.AccessTokens, GrantIDs: []string{g.ID}}
	g.RevokedAt = now
	g.AccessTokens = nil
	return rev, putGrant(tx, g, g.ExpiresAt)
}

// revokeClientGrants revokes every grant of a client.
func revokeClientGrants(tx Tx, issuer, clientID string, now time.Time) (all storage.Revocation, err error) {
	for _, id := range clientGrantIDs(tx, issuer, clientID) {
		g, found, err := getGrant(tx, id)
		if err != nil {
			return all, err
		}
		if !found || g.Issuer != issuer || g.ClientID != clientID {
			continue
		}
		rev, err := revokeGrant(tx, id, now)
		if err != nil {
			return all, err
		}
		all.GrantIDs = append(all.GrantIDs, rev.GrantIDs...)
		all.AccessTokens = append(all.AccessTokens, rev.AccessTokens...)
	}
	return all, nil
}

func clientGrantIDs(r Reader, issuer, clientID string) []string {
	var ids []string
	prefix := clientGrantsPrefix(issuer, clientID)
	for key := range scanPrefix(r, prefix) {
		ids = append(ids, string(key[len(prefix):]))
	}
	return ids
}

// Grants implements storage.AuthStore.
func (s *authStore) Grants(ctx context.Context, after string, limit int, now time.Time) ([]storage.Grant, string, error) {
	p, err := view(ctx, s.engine, func(r Reader) (page[storage.Grant], error) {
		return readPage(r, []byte{kindGrant}, after, limit, func(_, value []byte) (storage.Grant, bool) {
			g, err := openGrant(value)
			if err != nil || grantVerdict(g, true, now) != storage.OK {
				return g, false
			}
			there, err := fill(r, g.Issuer, &g.Identity, now)
			return g, err == nil && there
		}), nil
	})
	return p.records, p.next, err
}

// GrantsOfClient implements storage.AuthStore.
func (s *authStore) GrantsOfClient(ctx context.Context, issuer, clientID, after string, limit int, now time.Time) ([]storage.Grant, string, error) {
	p, err := view(ctx, s.engine, func(r Reader) (page[storage.Grant], error) {
		return readPage(r, clientGrantsPrefix(issuer, clientID), after, limit, func(id, _ []byte) (storage.Grant, bool) {
			g, found, err := filledGrant(r, string(id), now)
			return g, err == nil && grantVerdict(g, found, now) == storage.OK && g.Issuer == issuer && g.ClientID == clientID
		}), nil
	})
	return p.records, p.next, err
}

func openGrant(value []byte) (storage.Grant, error) {
	_, body, err := record.Open(value)
	if err != nil {
		return storage.Grant{}, err
	}
	return record.Grant(body)
}

// GrantsOf implements storage.AuthStore.
func (s *authStore) GrantsOf(ctx context.Context, issuer, subject string, now time.Time) ([]storage.Grant, error) {
	return view(ctx, s.engine, func(r Reader) ([]storage.Grant, error) {
		var grants []storage.Grant
		prefix := subjectGrantsPrefix(issuer, subject)
		for key := range scanPrefix(r, prefix) {
			g, found, err := filledGrant(r, string(key[len(prefix):]), now)
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
	})
}

// LastGrant implements storage.AuthStore.
func (s *authStore) LastGrant(ctx context.Context, issuer, subject, clientID string, now time.Time) (storage.Grant, error) {
	return view(ctx, s.engine, func(r Reader) (storage.Grant, error) {
		valid := func(h hinted) (storage.Grant, bool, error) {
			g, found, err := filledGrant(r, string(h.id), now)
			return g, grantVerdict(g, found, now) == storage.OK && g.Issuer == issuer && g.Identity.Subject == subject && g.ClientID == clientID, err
		}
		var newest hinted
		err := eachHint(r, issuer, subject, clientID, func(h hinted) {
			if newest.id == nil || h.compare(newest) > 0 {
				newest = h
			}
		})
		if err != nil || newest.id == nil {
			return storage.Grant{}, cmp.Or(err, storage.ErrNotFound)
		}
		if g, is, err := valid(newest); is || err != nil { // nearly always, so the others need no order
			return g, err
		}
		var all []hinted
		if err := eachHint(r, issuer, subject, clientID, func(h hinted) { all = append(all, h) }); err != nil {
			return storage.Grant{}, err
		}
		slices.SortFunc(all, hinted.compare)
		for _, h := range slices.Backward(all[:len(all)-1]) {
			if g, is, err := valid(h); is || err != nil {
				return g, err
			}
		}
		return storage.Grant{}, storage.ErrNotFound
	})
}

// hinted is a grant that may be meant, and when it was made.
type hinted struct{ at, id []byte }

// compare puts those that were made before first, as GrantsOf does.
func (h hinted) compare(other hinted) int {
	return cmp.Or(bytes.Compare(h.at, other.at), bytes.Compare(h.id, other.id))
}

// eachHint tells which grants of a subject are a client's, as far as the index knows.
// Those of which it knows nothing are read.
func eachHint(r Reader, issuer, subject, clientID string, tell func(hinted)) error {
	prefix, of := subjectGrantsPrefix(issuer, subject), record.Digest(clientID)
	for key, value := range scanPrefix(r, prefix) {
		id := key[len(prefix):]
		_, hint, err := record.Open(value)
		if err == nil && len(hint) != hintTime+len(of) {
			var g storage.Grant
			g, _, err = getGrant(r, string(id))
			hint = grantHint(g)
		}
		if err != nil {
			return err
		}
		if bytes.Equal(hint[hintTime:], of) {
			tell(hinted{hint[:hintTime], id})
		}
	}
	return nil
}
