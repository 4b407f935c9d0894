package kv

import (
	"bytes"
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
	if count <= max {
		return nil
	}
	oldest := oldestQueued(tx, newcomer, count-max)
	for _, c := range oldest {
		if err := tx.Delete(c.queueKey); err != nil {
			return err
		}
		key := idKey(kindClient, c.id)
		if tx.Get(key) == nil {
			return errCorrupt
		}
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	_, err := countQueue(tx, newcomer, -len(oldest))
	return err
}

// queued is a client in a queue.
type queued struct {
	id       string
	queueKey []byte
}

// oldestQueued returns up to n clients of the newcomer's queue, and never the
// newcomer.
func oldestQueued(r Reader, newcomer storage.Client, n int) []queued {
	var oldest []queued
	prefix := queuePrefix(newcomer)
	for key := range scanPrefix(r, prefix) {
		if len(oldest) >= n {
			break
		}
		if id := queuedID(key, prefix); id != newcomer.ID {
			oldest = append(oldest, queued{id, bytes.Clone(key)})
		}
	}
	return oldest
}
