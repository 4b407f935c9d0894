package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"sync"
	"testing"
)

// The MAC is plain HMAC-SHA-256 over the framed parts, under the key asked for,
// whoever else computes one at the same time.
func TestMACs(t *testing.T) {
	keys := [][32]byte{[32]byte(key(1)), [32]byte(key(2))}
	m := NewMACs(keys...)
	want := func(i int, framed string) (sum [sha256.Size]byte) {
		h := hmac.New(sha256.New, keys[i][:])
		h.Write([]byte(framed))
		copy(sum[:], h.Sum(nil))
		return sum
	}
	first, second := want(0, "\x00\x00\x00\x02ab\x00\x00\x00\x01c"), want(1, "\x00\x00\x00\x01a\x00\x00\x00\x02bc")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				if m.Sum(0, "ab", "c") != first || m.Sum(1, "a", "bc") != second {
					t.Error("another MAC")
				}
			}
		})
	}
	all.Wait()
	if m.Sum(0, "a", "bc") == first || m.Sum(1, "ab", "c") == first {
		t.Error("other parts, or another key, have the same MAC")
	}
}
