package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
)

// MACs authenticates what is handed out and comes back, with HMAC-SHA-256 (RFC
// 2104), one MAC for each key of a ring, in order: make with the first, verify
// with all. It is safe for concurrent use.
type MACs []*sync.Pool // of *mac

// mac is a keyed hash with the scratch space it needs, reused because setting
// up the key costs more than hashing.
type mac struct {
	hash    hash.Hash
	message []byte
	sum     []byte
}

// NewMACs returns the MACs under the keys, see Keyring.Derive.
func NewMACs(keys ...[32]byte) MACs {
	m := make(MACs, len(keys))
	for i, key := range keys {
		m[i] = &sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key[:])} }}
	}
	return m
}

// Sum returns the MAC of the parts, in this order, under the i-th key.
func (m MACs) Sum(i int, parts ...string) (sum [sha256.Size]byte) {
	h := m[i].Get().(*mac)
	defer m[i].Put(h)
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
