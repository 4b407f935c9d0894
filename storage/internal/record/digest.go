package record

import (
	"crypto/sha256"
	"encoding/binary"
)

// DigestSize is the width of a Digest.
const DigestSize = 16

// Digest shortens parts to a fixed width, so that keys have a bound whatever
// a client ID is. Readers compare the full value in the record.
func Digest(parts ...string) []byte {
	d := sha256.New()
	for _, part := range parts {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(part)))
		d.Write(size[:])
		d.Write([]byte(part))
	}
	return d.Sum(nil)[:DigestSize]
}
