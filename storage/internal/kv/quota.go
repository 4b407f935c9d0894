package kv

import (
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// boundGrants removes the grants beyond the quota of a person who proved nothing:
// a script can make as many as it likes.
func boundGrants(tx Tx, sub storage.Submission) error {
	g := sub.Grant
	p := place{
		sender: record.Digest("grants", g.Issuer, string(sub.Quota.Key[:])), group: record.Digest("grants of a block", g.Issuer, string(sub.Quota.Block[:])),
		at: g.CreatedAt, id: g.ID,
	}
	return enter(tx, p, record.Until(g.AbsoluteExpiresAt), sub.Code.Hash[:], bounds{
		sender: sub.Quota.Max, group: sub.Quota.MaxBlock,
		spare: func(id string) bool {
			g, found, err := getGrant(tx, id)
			return err == nil && grantVerdict(g, found, sub.Now) == storage.OK
		},
		drop: func(id string, code []byte) error { return removeGrant(tx, id, code) },
	})
}

// boundSessions ends the browser sessions beyond the quota of a person who proved
// nothing.
func boundSessions(tx Tx, b storage.SignIn) error {
	p := place{
		sender: record.Digest("sessions", b.Issuer, string(b.Quota.Key[:])), group: record.Digest("sessions of a block", b.Issuer, string(b.Quota.Block[:])),
		at: b.CreatedAt, id: string(b.Hash[:]),
	}
	return enter(tx, p, record.Until(b.ExpiresAt), nil, bounds{
		sender: b.Quota.Max, group: b.Quota.MaxBlock,
		spare: func(id string) bool { return tx.Get(hashKey(kindBrowserSession, storage.Hash([]byte(id)))) != nil },
		drop: func(id string, _ []byte) error {
			_, _, err := deleteBrowserSession(tx, storage.Hash([]byte(id)))
			return err
		},
	})
}

// removeGrant removes a grant as if it had never been, with its code and tokens.
func removeGrant(tx Tx, id string, code []byte) error {
	if len(code) != len(storage.Hash{}) {
		return record.ErrCorrupt
	}
	keys := [][]byte{hashKey(kindCode, storage.Hash(code)), idKey(kindGrant, id)}
	g, found, err := getGrant(tx, id)
	if err != nil {
		return err
	}
	if found {
		keys = append(keys, grantIndexKeys(g)...)
		for _, h := range g.AccessTokens {
			keys = append(keys, hashKey(kindAccess, h))
		}
		if err := forgetFamily(tx, g.RefreshToken); err != nil {
			return err
		}
	}
	for _, key := range keys {
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// forgetFamily removes the refresh tokens of a grant that have records, by its
// newest.
func forgetFamily(tx Tx, head *storage.Hash) error {
	if head == nil {
		return nil
	}
	t, _, err := getRefreshToken(tx, *head)
	if err != nil {
		return err
	}
	if err := forget(tx, t.Predecessor); err != nil {
		return err
	}
	return forget(tx, head)
}
