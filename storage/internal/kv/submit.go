package kv

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// SubmitFlow implements storage.AuthStore.
func (s *authStore) SubmitFlow(ctx context.Context, sub storage.Submission) (storage.Verdict, error) {
	if err := sub.Check(); err != nil {
		return storage.Unknown, err
	}
	return update(ctx, s.engine, func(tx Tx) (storage.Verdict, error) { return submitFlow(tx, sub) })
}

func submitFlow(tx Tx, sub storage.Submission) (storage.Verdict, error) {
	if sub.Begins != nil {
		if v, err := saveFlow(tx, *sub.Begins, sub.Now); v != storage.OK || err != nil {
			return v, err
		}
	}
	f, err := liveFlow(tx, sub.FlowID, sub.Now)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return storage.Unknown, nil
	case err != nil:
		return storage.Unknown, err
	case f.Issuer != sub.Issuer:
		return storage.Unknown, nil
	case f.Submitted:
		return storage.Submitted, nil
	case !f.Identity.Same(sub.Identity) || f.Session != sub.Session:
		return storage.Changed, nil
	}
	if there, err := holds(tx, f.Issuer, f.KnownBy(), sub.Now); !there || err != nil {
		return storage.SignedOut, err
	}
	connected, known, err := flowConnections(tx, sub)
	if err != nil {
		return storage.Unknown, err
	}
	if known {
		known, err = replacesAsSeen(tx, connected, sub)
	}
	if err != nil || !known {
		return storage.Changed, err
	}
	f.Submitted = true
	if err := putFlow(tx, f); err != nil {
		return storage.Unknown, err
	}
	if err := adopt(tx, connected, sub); err != nil || sub.Grant == nil {
		return storage.OK, err
	}
	return storage.OK, approve(tx, sub)
}

// approve stores what a person approved.
func approve(tx Tx, sub storage.Submission) error {
	g := *sub.Grant
	if err := putGrant(tx, g, g.ExpiresAt); err != nil {
		return err
	}
	if err := putGrantIndex(tx, g); err != nil {
		return err
	}
	if err := putCode(tx, *sub.Code, sub.Code.ExpiresAt); err != nil {
		return err
	}
	if sub.Browser != nil {
		if err := createBrowserSession(tx, *sub.Browser, sub.Now); err != nil {
			return err
		}
	}
	if err := keepClient(tx, sub); err != nil || sub.Quota == nil {
		return err
	}
	return boundGrants(tx, sub)
}

// flowConnections returns what the flow connected, and whether the submission
// knows each of them as it is.
func flowConnections(r Reader, sub storage.Submission) (of []storage.Connection, known bool, err error) {
	of, err = liveConnections(r, sub.Issuer, storage.FlowOwner(sub.FlowID), sub.Now)
	if err != nil || sub.Grant == nil {
		return of, true, err
	}
	adopted := make(map[string]uint64, len(sub.Adopt))
	for _, c := range sub.Adopt {
		adopted[c.Server] = c.Revision
	}
	for _, c := range of {
		if adopted[c.Server] != c.Revision {
			return of, false, nil
		}
	}
	return of, len(of) == len(adopted), nil
}

// replacesAsSeen reports whether the owner has what each adopted connection
// replaces, and nothing where it replaces nothing.
func replacesAsSeen(r Reader, of []storage.Connection, sub storage.Submission) (bool, error) {
	if sub.Grant == nil {
		return true, nil
	}
	made := make(map[string]string, len(of))
	for _, c := range of {
		made[c.Server] = c.ID
	}
	for _, c := range sub.Adopt {
		old, found, err := liveConnection(r, c.ConnectionKey, sub.Now)
		if err != nil {
			return false, err
		}
		if found && old.ID != c.ID || !found && c.ID != made[c.Server] {
			return false, nil
		}
	}
	return true, nil
}

// adopt removes what the flow connected or was about to, and gives the
// connections that are adopted to their owner.
func adopt(tx Tx, of []storage.Connection, sub storage.Submission) error {
	if err := removePendingStates(tx, ownerPrefix(kindPendingState, sub.Issuer, storage.FlowOwner(sub.FlowID))); err != nil {
		return err
	}
	for _, c := range of {
		if err := removeConnection(tx, connectionKey(c.ConnectionKey), sub.Now); err != nil {
			return err
		}
	}
	for _, c := range sub.Adopt {
		old, _, err := liveConnection(tx, c.ConnectionKey, sub.Now)
		if err != nil {
			return err
		}
		c.Revision = old.Revision + 1
		c.ExpiresAt, c.OnExpiry = time.Time{}, nil // it is nobody's flow's any more
		c.Lease, c.LeaseUntil = "", time.Time{}
		if err := replaceConnection(tx, c, sub.Now); err != nil {
			return err
		}
	}
	return nil
}

// boundGrants removes the grants beyond the quota of a person who proved nothing:
// a script can make as many as it likes.
func boundGrants(tx Tx, sub storage.Submission) error {
	g := sub.Grant
	p := place{
		sender: record.Digest("grants", g.Issuer, string(sub.Quota.Key[:])), group: record.Digest("grants of a block", g.Issuer, string(sub.Quota.Block[:])),
		at: g.CreatedAt, id: g.ID,
	}
	b := grantBounds(tx, sub.Now)
	b.sender, b.group = sub.Quota.Max, sub.Quota.MaxBlock
	return enter(tx, p, record.Until(g.AbsoluteExpiresAt), sub.Code.Hash[:], b)
}

// grantBounds drops grants, those that ended first.
func grantBounds(tx Tx, now time.Time) bounds {
	return bounds{
		spare: func(id string) bool {
			g, found, err := getGrant(tx, id)
			return err == nil && grantVerdict(g, found, now) == storage.OK
		},
		drop: func(id string, code []byte) error { return removeGrant(tx, id, code) },
	}
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
