package kv

import (
	"encoding/binary"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A registration that strangers can make at will waits in a queue, from which
// the oldest drop out when it is full: those that nobody approved in the queue
// of their issuer, those that only identities without proof approved in that
// of their quota. A used client is in none.

// enqueue enters a client into its queue, and returns how many are there.
func enqueue(tx Tx, c storage.Client) (int, error) {
	if err := tx.Put(queueKey(c), newValue(forever, 0)); err != nil {
		return 0, err
	}
	return countQueue(tx, c, +1)
}

// dequeue takes a client out of its queue, if it is in one.
func dequeue(tx Tx, c storage.Client) error {
	if c.Used {
		return nil
	}
	if err := tx.Delete(queueKey(c)); err != nil {
		return err
	}
	_, err := countQueue(tx, c, -1)
	return err
}

// countQueue changes the number of clients in the client's queue and returns it.
func countQueue(tx Tx, c storage.Client, change int) (int, error) {
	key := queueCountKey(c)
	count := 0
	if v := tx.Get(key); v != nil {
		_, body, err := openValue(v)
		if err != nil || len(body) != 8 {
			return 0, errCorrupt
		}
		count = int(binary.BigEndian.Uint64(body))
	}
	if count += change; count == 0 {
		return 0, tx.Delete(key)
	}
	return count, tx.Put(key, binary.BigEndian.AppendUint64(newValue(forever, 8), uint64(count)))
}

// evict removes the oldest clients of the newcomer's queue until at most max
// are left. The newcomer stays, even if the clock went back.
func evict(tx Tx, newcomer storage.Client, count, max int) error {
	for _, id := range oldestQueued(tx, newcomer, count-max) {
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

// oldestQueued returns up to n clients of the newcomer's queue, and never the
// newcomer.
func oldestQueued(r Reader, newcomer storage.Client, n int) []string {
	var ids []string
	prefix := queuePrefix(newcomer)
	for key := range scanPrefix(r, prefix) {
		if len(ids) >= n {
			break
		}
		if id := queuedID(key, prefix); id != newcomer.ID {
			ids = append(ids, id)
		}
	}
	return ids
}
