package kv

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var (
	errSubmission = errors.New("storage: a submission needs both grant and code, or neither, that belong together and to whom it shows")
	errBrowser    = errors.New("storage: only whoever approves is signed in with the submission")
)

// SaveFlow implements storage.Store.
func (s *Store) SaveFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	return update(ctx, s, func(tx Tx) (storage.Verdict, error) {
		old, err := liveFlow(tx, f.ID, now)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return storage.Unknown, err
		}
		if old.Submitted {
			return storage.Submitted, nil
		}
		if err == nil && !old.Identity.Same(f.Identity) {
			if err := endFlow(tx, old, now); err != nil {
				return storage.Unknown, err
			}
		}
		for _, key := range [][]byte{subjectFlowKey(f), browserFlowKey(f)} {
			if err := tx.Put(key, newValue(until(f.ExpiresAt), 0)); err != nil {
				return storage.Unknown, err
			}
		}
		return storage.OK, putFlow(tx, f)
	})
}

// Flow implements storage.Store.
func (s *Store) Flow(ctx context.Context, id string, now time.Time) (storage.Flow, error) {
	return view(ctx, s, func(r Reader) (storage.Flow, error) { return liveFlow(r, id, now) })
}

// SubmitFlow implements storage.Store.
func (s *Store) SubmitFlow(ctx context.Context, sub storage.Submission) (storage.Verdict, error) {
	if err := checkSubmission(sub); err != nil {
		return storage.Unknown, err
	}
	return update(ctx, s, func(tx Tx) (storage.Verdict, error) { return submitFlow(tx, sub) })
}

func checkSubmission(sub storage.Submission) error {
	if (sub.Grant == nil) != (sub.Code == nil) || sub.Grant != nil && (sub.Code.GrantID != sub.Grant.ID || !sub.Grant.Identity.Same(sub.Identity)) {
		return errSubmission
	}
	if b := sub.Browser; b != nil && (sub.Grant == nil || b.Issuer != sub.Issuer || !b.Identity.Same(sub.Identity)) {
		return errBrowser
	}
	return checkAdopt(sub)
}

func submitFlow(tx Tx, sub storage.Submission) (storage.Verdict, error) {
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
	case !f.Identity.Same(sub.Identity):
		return storage.Changed, nil
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
	for _, key := range grantIndexKeys(g) {
		if err := tx.Put(key, newValue(until(g.AbsoluteExpiresAt), 0)); err != nil {
			return err
		}
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

func liveFlow(r Reader, id string, now time.Time) (storage.Flow, error) {
	var f storage.Flow
	found, err := getJSON(r, idKey(kindFlow, id), &f)
	if err == nil && (!found || ended(f.ExpiresAt, now)) {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.Flow{}, err
	}
	return f, nil
}

func putFlow(tx Tx, f storage.Flow) error {
	return putJSON(tx, idKey(kindFlow, f.ID), until(f.ExpiresAt), f)
}
