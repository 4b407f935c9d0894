// Package fill makes a store large: it repeats the records that real sign-ins left
// in it, under other keys, as many times as there are to be. It writes what a store
// writes, without its verbs, which would take hours. What it makes can be found and
// swept like any record; as what is in it belongs to the sign-ins that were
// repeated, nobody can use it.
package fill

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Size is how much there is to be.
type Size struct {
	Grants  int // each with an access and a refresh token, of a person of its own
	Clients int
	Expired int // records that have ended and were not swept
	Now     time.Time
}

// Expired records are of these kinds, in tenths.
const (
	accessTokens  = 5
	refreshTokens = 2
	codes         = 2
	flows         = 1
)

var errNoTemplate = errors.New("fill: sign in before, there is nothing to repeat")

// key returns the n-th of so many keys: 32 bytes that look like chance, as hashes do,
// and are in order.
func key(kind string, n, of int) []byte {
	k := make([]byte, 32)
	binary.BigEndian.PutUint64(k, uint64(n)*(^uint64(0)/uint64(of+1))+1)
	tail := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, n))
	copy(k[8:], tail[:])
	return k
}

// id returns the n-th of so many random UUIDs, in order.
func id(kind string, n, of int) string {
	k := key(kind, n, of)
	return fmt.Sprintf("%x-%x-4%x-8%x-%x", k[:4], k[4:6], k[6:8], k[8:10], k[10:16])[:36]
}

// ended reports whether the n-th of a kind is one of those that have ended, of which
// there are so many among all: they are spread evenly.
func ended(n, expired, all int) bool {
	return int64(n+1)*int64(expired)/int64(all) > int64(n)*int64(expired)/int64(all)
}
