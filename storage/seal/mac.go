package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"sync/atomic"
)

// MACs authenticates what is handed out and comes back, with HMAC-SHA-256 (RFC
// 2104), one MAC for each key of a ring: make with the one that First names, verify
// with all. It is safe for concurrent use.
type MACs struct {
	keyed []*sync.Pool  // of *mac
	first *atomic.Int32 // nil for the first
}

// mac is a keyed hash with the scratch space it needs, reused because setting
// up the key costs more than hashing.
type mac struct {
	hash    hash.Hash
	message []byte
	sum     []byte
}

// NewMACs returns the MACs under the keys, of which the first makes.
func NewMACs(keys ...[32]byte) MACs {
	m := MACs{keyed: make([]*sync.Pool, len(keys))}
	for i, key := range keys {
		m.keyed[i] = &sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key[:])} }}
	}
	return m
}

// Len returns how many keys there are.
func (m MACs) Len() int { return len(m.keyed) }

// First returns which of the keys makes.
func (m MACs) First() int {
	if m.first == nil {
		return 0
	}
	return int(m.first.Load())
}

// Sum returns the MAC of the parts, in this order, under the i-th key.
func (m MACs) Sum(i int, parts ...string) (sum [sha256.Size]byte) {
	h := m.keyed[i].Get().(*mac)
	defer m.keyed[i].Put(h)
	h.message = appendParts(h.message[:0], parts)
	h.hash.Reset()
	_, _ = h.hash.Write(h.message) // never fails, see hash.Hash
	h.sum = h.hash.Sum(h.sum[:0])
	copy(sum[:], h.sum)
	return sum
}

// appendParts puts each part behind its length: ("ab", "c") and ("a", "bc") are
// different.
func appendParts(b []byte, parts []string) []byte {
	for _, part := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}
