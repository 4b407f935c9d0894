package kv

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

const (
	// sweepScan bounds how many records one reading transaction looks at.
	sweepScan = 4096
	// sweepBatch bounds how many records one writing transaction removes, and
	// so how long another caller waits for it.
	sweepBatch = 256
)

// Sweep implements storage.Store.
func (s *Store) Sweep(ctx context.Context, now time.Time) (int, error) {
	removed := 0
	var from []byte
	for {
		page, err := view(ctx, s.engine, func(r Reader) (sweepPage, error) { return findEnded(r, from, now) })
		if err != nil {
			return removed, err
		}
		if len(page.ended) > 0 {
			n, err := update(ctx, s.engine, func(tx Tx) (int, error) { return removeEnded(tx, page.ended, now) })
			if err != nil {
				return removed, err
			}
			removed += n
		}
		if page.next == nil {
			return removed, nil
		}
		from = page.next
	}
}

// sweepPage is what one scan found: the keys that are over, and where to go
// on, nil at the end.
type sweepPage struct {
	ended [][]byte
	next  []byte
}

func findEnded(r Reader, from []byte, now time.Time) (page sweepPage, err error) {
	seen := 0
	for key, value := range r.Scan(from) {
		if seen == sweepScan || len(page.ended) == sweepBatch {
			page.next = bytes.Clone(key)
			break
		}
		seen++
		k, _, err := record.Open(value)
		if err != nil {
			return page, err
		}
		if k.Over(now) {
			page.ended = append(page.ended, bytes.Clone(key))
		}
	}
	return page, nil
}

// removeEnded removes the records unless they were renewed since the scan.
func removeEnded(tx Tx, keys [][]byte, now time.Time) (int, error) {
	removed := 0
	for _, key := range keys {
		v := tx.Get(key)
		if v == nil {
			continue
		}
		k, _, err := record.Open(v)
		if err != nil {
			return removed, err
		}
		if !k.Over(now) {
			continue
		}
		if err := removeRecord(tx, key, now); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

func removeRecord(tx Tx, key []byte, now time.Time) error {
	switch key[0] {
	case kindClient:
		var c storage.Client
		if _, err := getJSON(tx, key, &c); err != nil {
			return err
		}
		return removeClient(tx, c)
	case kindQueue:
		p, _, err := openPlace(key, tx.Get(key))
		if err != nil {
			return err
		}
		return leave(tx, p)
	case kindConnection:
		return sweepConnection(tx, key, now)
	}
	return tx.Delete(key)
}

// EndSignIns implements storage.SignInEnder.
func EndSignIns(ctx context.Context, e Engine, now time.Time) (ended storage.Ended, err error) {
	steps := []struct {
		kind byte
		end  func(tx Tx, key []byte, ended *storage.Ended) error
	}{
		{kindGrant, func(tx Tx, key []byte, ended *storage.Ended) error {
			rev, err := revokeGrant(tx, string(key[1:]), now)
			ended.Grants += len(rev.GrantIDs)
			return err
		}},
		{kindBrowserSession, func(tx Tx, key []byte, ended *storage.Ended) error {
			if len(key) != 1+len(storage.Hash{}) {
				return record.ErrCorrupt
			}
			ended.Sessions++
			_, _, err := deleteBrowserSession(tx, storage.Hash(key[1:]))
			return err
		}},
		{kindFlow, func(tx Tx, key []byte, ended *storage.Ended) error { return endPending(tx, key, ended, now) }},
		{kindPendingState, removePendingState},
		{kindVirtualKey, disableVirtualKey},
		{kindSiteValue, dropSecrets},
	}
	for _, step := range steps {
		if err := inBatches(ctx, e, step.kind, &ended, step.end); err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// inBatches calls end for each key of a kind, many in each transaction.
func inBatches(ctx context.Context, e Engine, kind byte, ended *storage.Ended, end func(Tx, []byte, *storage.Ended) error) error {
	for from := []byte{kind}; ; {
		var keys [][]byte
		err := e.View(ctx, func(r Reader) error {
			keys = nil
			for key := range r.Scan(append(bytes.Clone(from), 0)) { // no key is between
				if key[0] != kind || len(keys) == sweepScan {
					break
				}
				keys = append(keys, bytes.Clone(key))
			}
			return nil
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		var after storage.Ended
		err = e.Update(ctx, func(tx Tx) error {
			after = *ended
			for _, key := range keys {
				if err := end(tx, key, &after); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		*ended, from = after, keys[len(keys)-1]
	}
}

func endPending(tx Tx, key []byte, ended *storage.Ended, now time.Time) error {
	f, err := storedFlow(tx, string(key[1:]), now)
	if errors.Is(err, storage.ErrNotFound) || err == nil && f.Submitted {
		return nil
	}
	if err != nil {
		return err
	}
	ended.Flows++
	return endFlow(tx, f, now)
}

func removePendingState(tx Tx, key []byte, _ *storage.Ended) error {
	return removePendingStates(tx, key)
}

func disableVirtualKey(tx Tx, key []byte, ended *storage.Ended) error {
	if len(key) == 1+record.DigestSize {
		return nil // the number
	}
	k, found, err := virtualKey(tx, key)
	if err != nil || !found || k.Disabled {
		return err
	}
	k.Disabled = true
	k.Withdrawn++
	if k.Revision, err = changeVirtualKeys(tx, k.Issuer); err != nil {
		return err
	}
	ended.VirtualKeys = append(ended.VirtualKeys, k.Name)
	return putJSON(tx, key, record.Forever, k)
}

// dropSecrets removes the site values by which secrets of others are good.
func dropSecrets(tx Tx, key []byte, ended *storage.Ended) error {
	var v storage.SiteValue
	if _, err := getJSON(tx, key, &v); err != nil || !ended.Counts(v.Name, sealed.SigningKeysName) {
		return err
	}
	return tx.Delete(key)
}
