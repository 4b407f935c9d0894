package kv

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// What anybody can make at will waits in a queue of its sender, from which the
// oldest drop out when it is full. Senders may belong to a group that has a
// bound as well: beyond that, the oldest of whoever has most drop out, so that a
// flood displaces itself and nobody else.

// maxLook bounds how many records of a queue, and senders with as many, are
// looked at to find the one that drops out.
const maxLook = 64

// place is where a record waits.
type place struct {
	sender []byte // a digest
	group  []byte // a digest; nil if the sender is in none
	at     time.Time
	id     string
}

// bounds of the queue of a sender and of its group. 0 or less sets none.
type bounds struct {
	sender, group int
	// spare reports whether another record had better drop out.
	spare func(id string) bool
	// drop removes the record whose place held extra.
	drop func(id string, extra []byte) error
}

func queuePrefix(sender []byte) []byte { return append([]byte{kindQueue}, sender...) }

// queueKey sorts the places of a queue by time.
func queueKey(p place) []byte {
	key := binary.BigEndian.AppendUint64(queuePrefix(p.sender), uint64(p.at.UnixNano()))
	return append(key, p.id...)
}

// queueEntry is the value of a place: its group, and what its record needs to be
// dropped.
func queueEntry(p place, keepUntil record.Keep, extra []byte) []byte {
	v := record.New(keepUntil, 1+len(p.group)+len(extra))
	v = append(v, byte(len(p.group)))
	return append(append(v, p.group...), extra...)
}

// openPlace reads what queueKey and queueEntry wrote. Entries of an earlier
// version have no body.
func openPlace(key, value []byte) (p place, extra []byte, err error) {
	_, body, err := record.Open(value)
	if err != nil || len(key) < 1+record.DigestSize+8 {
		return p, nil, record.ErrCorrupt
	}
	key = bytes.Clone(key[1:])
	p.sender = key[:record.DigestSize:record.DigestSize]
	p.at = time.Unix(0, int64(binary.BigEndian.Uint64(key[record.DigestSize:])))
	p.id = string(key[record.DigestSize+8:])
	if len(body) == 0 {
		return p, nil, nil
	}
	size := int(body[0])
	if size != 0 && size != record.DigestSize || len(body) < 1+size {
		return p, nil, record.ErrCorrupt
	}
	body = bytes.Clone(body[1:])
	if size > 0 {
		p.group = body[:size:size]
	}
	return p, body[size:], nil
}

// enter puts a record into its queue, and drops what is beyond the bounds. The
// record itself stays, even if the clock went back.
func enter(tx Tx, p place, keepUntil record.Keep, extra []byte, b bounds) error {
	if err := tx.Put(queueKey(p), queueEntry(p, keepUntil, extra)); err != nil {
		return err
	}
	ofSender, ofGroup, err := count(tx, p, +1)
	for ; err == nil && b.sender > 0 && ofSender > b.sender; ofSender-- {
		if err = dropFrom(tx, p.sender, p, b); err == nil {
			ofGroup--
		}
	}
	for ; err == nil && b.group > 0 && ofGroup > b.group; ofGroup-- {
		err = dropFrom(tx, largestSender(tx, p), p, b)
	}
	return err
}

// leave takes a record out of its queue.
func leave(tx Tx, p place) error {
	if err := tx.Delete(queueKey(p)); err != nil {
		return err
	}
	_, _, err := count(tx, p, -1)
	return err
}

// dropFrom drops the oldest record of a sender that is not the newcomer, nor
// spared if there is another among those that are looked at.
func dropFrom(tx Tx, sender []byte, newcomer place, b bounds) error {
	var oldest, chosen []byte
	seen := 0
	prefix := queuePrefix(sender)
	for key := range scanPrefix(tx, prefix) {
		id := string(key[len(prefix)+8:])
		if id == newcomer.id {
			continue
		}
		if seen++; oldest == nil {
			oldest = bytes.Clone(key)
		}
		if b.spare == nil || !b.spare(id) {
			chosen = bytes.Clone(key)
			break
		}
		if seen == maxLook {
			break
		}
	}
	if chosen == nil {
		chosen = oldest
	}
	if chosen == nil { // the newcomer is alone
		return nil
	}
	p, extra, err := openPlace(chosen, tx.Get(chosen))
	if err != nil {
		return err
	}
	if err := leave(tx, p); err != nil {
		return err
	}
	return b.drop(p.id, extra)
}

// count changes how many records the sender and the group of a place have, and
// returns both numbers.
func count(tx Tx, p place, change int) (ofSender, ofGroup int, err error) {
	ofSender, err = changeCount(tx, p.sender, change)
	if err != nil || p.group == nil {
		return ofSender, 0, err
	}
	for _, size := range []int{ofSender - change, ofSender} {
		if err := tx.Delete(sizeKey(p.group, size, p.sender)); err != nil {
			return 0, 0, err
		}
	}
	if ofSender > 0 {
		if err := tx.Put(sizeKey(p.group, ofSender, p.sender), record.New(record.Forever, 0)); err != nil {
			return 0, 0, err
		}
	}
	ofGroup, err = changeCount(tx, p.group, change)
	return ofSender, ofGroup, err
}

func changeCount(tx Tx, of []byte, change int) (int, error) {
	key := append([]byte{kindQueueCount}, of...)
	n := 0
	if v := tx.Get(key); v != nil {
		_, body, err := record.Open(v)
		if err != nil || len(body) != 8 {
			return 0, record.ErrCorrupt
		}
		n = int(binary.BigEndian.Uint64(body))
	}
	if n += change; n == 0 {
		return 0, tx.Delete(key)
	}
	return n, tx.Put(key, binary.BigEndian.AppendUint64(record.New(record.Forever, 8), uint64(n)))
}

// sizeKey sorts the senders of a group by how many records they have, the
// largest first.
func sizeKey(group []byte, size int, sender []byte) []byte {
	key := append([]byte{kindQueueSize}, group...)
	key = binary.BigEndian.AppendUint64(key, ^uint64(size))
	return append(key, sender...)
}

// largestSender returns the sender with most records in the newcomer's group,
// not that of the newcomer if it has no other. Of several with as many it is the
// one whose oldest record is older than the others'.
func largestSender(r Reader, newcomer place) (sender []byte) {
	alone := sizeKey(newcomer.group, 1, newcomer.sender)
	var size, oldest []byte
	seen := 0
	prefix := append([]byte{kindQueueSize}, newcomer.group...)
	for key := range scanPrefix(r, prefix) {
		if bytes.Equal(key, alone) {
			continue
		}
		rest := key[len(prefix):]
		if seen == maxLook || size != nil && !bytes.Equal(rest[:8], size) {
			break
		}
		seen++
		size = bytes.Clone(rest[:8])
		candidate := bytes.Clone(rest[8:])
		if at := firstTime(r, candidate); sender == nil || bytes.Compare(at, oldest) < 0 {
			sender, oldest = candidate, at
		}
	}
	return sender
}

// firstTime returns when the oldest record of a sender entered, as in its key.
func firstTime(r Reader, sender []byte) []byte {
	prefix := queuePrefix(sender)
	for key := range scanPrefix(r, prefix) {
		return bytes.Clone(key[len(prefix):][:8])
	}
	return nil
}
