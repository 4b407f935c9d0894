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
