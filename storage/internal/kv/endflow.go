package kv

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// EndFlows implements storage.Store.
func (s *Store) EndFlows(ctx context.Context, issuer, subject string, now time.Time) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		return endFlows(tx, issuer, subject, now, func(storage.Flow) bool { return true })
	})
}

// endFlowsIn ends those of a subject's pending flows that are bound to one of
// the browser's cookies.
func endFlowsIn(tx Tx, browser []storage.Hash, issuer, subject string, now time.Time) error {
	if len(browser) == 0 {
		return nil
	}
	return endFlows(tx, issuer, subject, now, func(f storage.Flow) bool { return slices.Contains(browser, f.Browser) })
}

// endFlows ends those of a subject's pending flows that are meant.
func endFlows(tx Tx, issuer, subject string, now time.Time, meant func(storage.Flow) bool) error {
	var ending []storage.Flow
	prefix := subjectFlowsPrefix(issuer, subject)
	for key := range scanPrefix(tx, prefix) {
		f, err := liveFlow(tx, string(key[len(prefix):]), now)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if !f.Submitted && f.Issuer == issuer && f.Identity.Subject == subject && meant(f) {
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
	if err := tx.Delete(subjectFlowKey(f)); err != nil {
		return err
	}
	return tx.Delete(idKey(kindFlow, f.ID))
}

// stillThere reports whether somebody is still there; nobody in particular always is.
func stillThere(r Reader, issuer string, p *storage.Presence, now time.Time) (bool, error) {
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
