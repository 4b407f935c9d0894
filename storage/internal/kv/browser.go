package kv

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// SaveFlow implements storage.AuthStore.
func (s *authStore) SaveFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	return update(ctx, s.engine, func(tx Tx) (storage.Verdict, error) { return saveFlow(tx, f, now) })
}

func saveFlow(tx Tx, f storage.Flow, now time.Time) (storage.Verdict, error) {
	old, err := storedFlow(tx, f.ID, now)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return storage.Unknown, err
	}
	if old.Submitted {
		return storage.Submitted, nil
	}
	if there, err := holds(tx, f.Issuer, f.KnownBy(), now); !there || err != nil {
		return storage.SignedOut, err
	}
	if err == nil && !old.Identity.Same(f.Identity) {
		if err := endFlow(tx, old, now); err != nil {
			return storage.Unknown, err
		}
	}
	for _, key := range [][]byte{subjectFlowKey(f), browserFlowKey(f)} {
		if err := tx.Put(key, record.New(record.Until(f.ExpiresAt), 0)); err != nil {
			return storage.Unknown, err
		}
	}
	return storage.OK, putFlow(tx, f)
}

// Flow implements storage.AuthStore.
func (s *authStore) Flow(ctx context.Context, id string, now time.Time) (storage.Flow, error) {
	return view(ctx, s.engine, func(r Reader) (storage.Flow, error) { return liveFlow(r, id, now) })
}

// liveFlow returns a flow with the claims. One whose person is not there any more
// is absent.
func liveFlow(r Reader, id string, now time.Time) (storage.Flow, error) {
	f, err := storedFlow(r, id, now)
	if err != nil {
		return storage.Flow{}, err
	}
	there, err := fill(r, f.Issuer, &f.Identity, now)
	if err == nil && !there {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.Flow{}, err
	}
	return f, nil
}

// storedFlow is liveFlow whether or not the person is there: what was connected in
// the flow must not go to somebody else.
func storedFlow(r Reader, id string, now time.Time) (storage.Flow, error) {
	var f storage.Flow
	found, err := getJSON(r, idKey(kindFlow, id), &f)
	if err == nil && found && f.ID != id {
		err = record.ErrCorrupt // somebody moved the record
	}
	if err == nil && (!found || ended(f.ExpiresAt, now)) {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.Flow{}, err
	}
	return f, nil
}

func putFlow(tx Tx, f storage.Flow) error {
	return putJSON(tx, idKey(kindFlow, f.ID), record.Until(f.ExpiresAt), f)
}

// EndFlows implements storage.AuthStore.
func (s *authStore) EndFlows(ctx context.Context, issuer, subject string, now time.Time) error {
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
		f, err := storedFlow(tx, string(key[len(prefix):]), now)
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

// CreateBrowserSession implements storage.SessionStore.
func (s *sessionStore) CreateBrowserSession(ctx context.Context, b storage.SignIn) error {
	return s.engine.Update(ctx, func(tx Tx) error { return createBrowserSession(tx, b, b.CreatedAt) })
}

// BrowserSession implements storage.SessionStore.
func (s *sessionStore) BrowserSession(ctx context.Context, h storage.Hash, now time.Time) (storage.BrowserSession, error) {
	return view(ctx, s.engine, func(r Reader) (storage.BrowserSession, error) {
		b, found, err := filledSession(r, h, now)
		if err == nil && (!found || ended(b.ExpiresAt, now)) {
			err = storage.ErrNotFound
		}
		if err != nil {
			return storage.BrowserSession{}, err
		}
		return b, nil
	})
}

// BrowserSessionsOf implements storage.SessionStore.
func (s *sessionStore) BrowserSessionsOf(ctx context.Context, issuer, subject string, now time.Time) ([]storage.BrowserSession, error) {
	return view(ctx, s.engine, func(r Reader) (all []storage.BrowserSession, err error) {
		prefix := subjectSessionsPrefix(issuer, subject)
		for key := range scanPrefix(r, prefix) {
			b, found, err := filledSession(r, storage.Hash(key[len(prefix):]), now)
			if err != nil {
				return nil, err
			}
			if found && !ended(b.ExpiresAt, now) && b.Issuer == issuer && b.Identity.Subject == subject {
				all = append(all, b)
			}
		}
		slices.SortStableFunc(all, func(a, b storage.BrowserSession) int { return a.CreatedAt.Compare(b.CreatedAt) })
		return all, nil
	})
}

// DeleteBrowserSession implements storage.SessionStore.
func (s *sessionStore) DeleteBrowserSession(ctx context.Context, h storage.Hash, flows []storage.Hash, now time.Time) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		b, found, err := deleteBrowserSession(tx, h)
		if err != nil || !found {
			return err
		}
		return endFlowsIn(tx, flows, b.Issuer, now, func(f storage.Flow) bool { return f.Identity.Subject == b.Identity.Subject })
	})
}

// DeleteBrowserSessions implements storage.SessionStore.
func (s *sessionStore) DeleteBrowserSessions(ctx context.Context, issuer, subject string) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		var entries [][]byte
		prefix := subjectSessionsPrefix(issuer, subject)
		for key := range scanPrefix(tx, prefix) {
			entries = append(entries, bytes.Clone(key))
		}
		for _, key := range entries {
			if err := tx.Delete(hashKey(kindBrowserSession, storage.Hash(key[len(prefix):]))); err != nil {
				return err
			}
			if err := tx.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
}

// createBrowserSession stores a session in the place of the one it replaces.
// What others began in the browser, as far as it is to end, ends.
func createBrowserSession(tx Tx, b storage.SignIn, now time.Time) error {
	before, found, err := deleteBrowserSession(tx, b.Replaces)
	if err != nil {
		return err
	}
	err = endFlowsIn(tx, b.Flows, b.Issuer, now, func(f storage.Flow) bool {
		leaves := b.EndsOthers || found && f.Identity.Subject == before.Identity.Subject
		return leaves && !f.Identity.Same(b.Identity)
	})
	if err != nil {
		return err
	}
	keepUntil := record.Until(b.ExpiresAt)
	if err := tx.Put(subjectSessionKey(b.BrowserSession), record.New(keepUntil, 0)); err != nil {
		return err
	}
	if err := putJSON(tx, hashKey(kindBrowserSession, b.Hash), keepUntil, b.BrowserSession); err != nil || b.Quota == nil {
		return err
	}
	return boundSessions(tx, b)
}

// deleteBrowserSession removes a session, if there is one, and returns it.
func deleteBrowserSession(tx Tx, h storage.Hash) (b storage.BrowserSession, found bool, err error) {
	b, found, err = getBrowserSession(tx, h)
	if err != nil || !found {
		return b, found, err
	}
	if err := tx.Delete(subjectSessionKey(b)); err != nil {
		return b, found, err
	}
	return b, found, tx.Delete(hashKey(kindBrowserSession, h))
}

func getBrowserSession(r Reader, h storage.Hash) (b storage.BrowserSession, found bool, err error) {
	found, err = getJSON(r, hashKey(kindBrowserSession, h), &b)
	b.Hash = h
	return b, found, err
}

// filledSession is getBrowserSession with the claims. One whose person is not there
// any more is absent.
func filledSession(r Reader, h storage.Hash, now time.Time) (storage.BrowserSession, bool, error) {
	b, found, err := getBrowserSession(r, h)
	if err == nil && found {
		found, err = fill(r, b.Issuer, &b.Identity, now)
	}
	return b, found && err == nil, err
}

// holds reports whether an authentication still holds; none always does.
func holds(r Reader, issuer string, p *storage.Authentication, now time.Time) (bool, error) {
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
	b, found, err := filledSession(r, p.Session, now)
	return found && b.Issuer == issuer && !ended(b.ExpiresAt, now) && b.Identity.Same(p.Identity), err
}
