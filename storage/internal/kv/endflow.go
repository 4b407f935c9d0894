package kv

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// EndFlows implements storage.Store.
func (s *Store) EndFlows(ctx context.Context, issuer, subject string, now time.Time) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		return endFlows(tx, subjectFlowsPrefix(issuer, subject), now, func(f storage.Flow) bool {
			return f.Issuer == issuer && f.Identity.Subject == subject
		})
	})
}

// endFlowsIn ends those pending flows that are meant, of those that are bound
// to one of the browser's cookies.
func endFlowsIn(tx Tx, browser []storage.Hash, issuer string, now time.Time, meant func(storage.Flow) bool) error {
	for _, cookie := range browser {
		err := endFlows(tx, browserFlowsPrefix(cookie), now, func(f storage.Flow) bool {
			return f.Issuer == issuer && f.Browser == cookie && meant(f)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// endFlows ends those pending flows that are meant, of those whose index entry
// starts with prefix.
func endFlows(tx Tx, prefix []byte, now time.Time, meant func(storage.Flow) bool) error {
	var ending []storage.Flow
	for key := range scanPrefix(tx, prefix) {
		f, err := liveFlow(tx, string(key[len(prefix):]), now)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if !f.Submitted && meant(f) {
			ending = append(ending, f)
		}
	}
	for _, f := range ending {
		if err := endFlow(tx, f, now); err != nil {
			return err
		}
	}
	return nil
}

// endFlow forgets who the person is, and removes what they connected and were
// about to.
func endFlow(tx Tx, f storage.Flow, now time.Time) error {
	owner := storage.FlowOwner(f.ID)
	if err := removePendingStates(tx, ownerPrefix(kindPendingState, f.Issuer, owner)); err != nil {
		return err
	}
	made, err := liveConnections(tx, f.Issuer, owner, now)
	if err != nil {
		return err
	}
	for _, c := range made {
		if c.OnExpiry != nil {
			if err := putRevocation(tx, *c.OnExpiry); err != nil {
				return err
			}
		}
		if err := removeConnection(tx, connectionKey(c.ConnectionKey), now); err != nil {
			return err
		}
	}
	for _, key := range [][]byte{subjectFlowKey(f), browserFlowKey(f)} {
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return tx.Delete(idKey(kindFlow, f.ID))
}

// stillThere reports whether somebody is still there; nobody in particular always is.
func stillThere(r Reader, issuer string, p *storage.Authentication, now time.Time) (bool, error) {
	if p == nil {
		return true, nil
	}
	if p.FlowID != "" {
		f, err := liveFlow(r, p.FlowID, now)
		if errors.Is(err, storage.ErrNotFound) {
			return false, nil
		}
		return err == nil && f.Issuer == issuer && !f.Submitted && f.Identity.Same(p.Identity), err
	}
	b, found, err := getBrowserSession(r, p.Session)
	return found && b.Issuer == issuer && !ended(b.ExpiresAt, now) && b.Identity.Same(p.Identity), err
}
