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

// FlowOf returns the ID of the flow that a key is of, or nil.
func FlowOf(k storage.ConnectionKey) []byte {
	if id, is := strings.CutPrefix(k.Owner, storage.FlowOwner("")); is {
		return []byte(id)
	}
	return nil
}
