package record

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
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

// FlowOf returns the ID of the flow that a connect state is of, or nil.
func FlowOf(s storage.ConnectState) []byte {
	if id, is := strings.CutPrefix(s.Owner, storage.FlowOwner("")); is {
		return []byte(id)
	}
	return IDOrNone(s.Flow)
}

// IDOrNone returns an ID as a reference, or nil for the empty one.
func IDOrNone(id string) []byte {
	if id == "" {
		return nil
	}
	return []byte(id)
}

// HashOrNone returns a hash as a reference, or nil for the zero one.
func HashOrNone(h storage.Hash) []byte {
	if h == (storage.Hash{}) {
		return nil
	}
	return h[:]
}
