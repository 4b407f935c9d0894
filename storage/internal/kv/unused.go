package kv

import (
	"encoding/binary"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// addUnused enters a client into the index of those that nobody approved yet,
// and returns how many of its issuer there are.
func addUnused(tx Tx, c storage.Client) (int, error) {
	if err := tx.Put(unusedKey(c), newValue(forever, 0)); err != nil {
		return 0, err
	}
	return countUnused(tx, c.Issuer, +1)
}

// dropUnused takes a client out of the index.
func dropUnused(tx Tx, c storage.Client) (int, error) {
	if err := tx.Delete(unusedKey(c)); err != nil {
		return 0, err
	}
	return countUnused(tx, c.Issuer, -1)
}

// countUnused changes the number of unused clients and returns it.
func countUnused(tx Tx, issuer string, change int) (int, error) {
	key := unusedCountKey(issuer)
	count := 0
	if v := tx.Get(key); v != nil {
		_, body, err := openValue(v)
		if err != nil || len(body) != 8 {
			return 0, errCorrupt
		}
		count = int(binary.BigEndian.Uint64(body))
	}
	count += change
	return count, tx.Put(key, binary.BigEndian.AppendUint64(newValue(forever, 8), uint64(count)))
}

// evictUnused removes the oldest unused clients until at most max are left.
// The newcomer stays, even if the clock went back.
func evictUnused(tx Tx, newcomer storage.Client, count, max int) error {
	for _, id := range oldestUnused(tx, newcomer, count-max) {
		var c storage.Client
		found, err := getJSON(tx, idKey(kindClient, id), &c)
		if err != nil {
			return err
		}
		if !found {
			return errCorrupt
		}
		if err := removeClient(tx, c); err != nil {
			return err
		}
	}
	return nil
}

// oldestUnused returns up to n unused clients of the newcomer's issuer, and
// never the newcomer.
func oldestUnused(r Reader, newcomer storage.Client, n int) []string {
	var ids []string
	prefix := unusedPrefix(newcomer.Issuer)
	for key := range scanPrefix(r, prefix) {
		if len(ids) >= n {
			break
		}
		if id := unusedID(key, prefix); id != newcomer.ID {
			ids = append(ids, id)
		}
	}
	return ids
}
