package kv

import (
	"bytes"
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
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
