package tokens

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
)

// Prefixes of what is issued to clients. They let secret scanners find a leaked
// one, and keep one kind from being taken for another.
const (
	AccessPrefix  = "mcpat_"
	RefreshPrefix = "mcprt_"
	CodePrefix    = "mcpac_"
)

// randomSize is how many random bytes refresh tokens and virtual keys have.
const randomSize = 32

// VirtualKeyPrefix begins the virtual keys that are made here.
const VirtualKeyPrefix = "mcpk_"

// NewVirtualKey returns a new virtual key:
//
//	prefix ‖ base64url( 32 random bytes ‖ CRC-32 (IEEE) of those, big endian )
//
// The checksum is for scanners, which tell a leaked key from a text that looks
// like one without asking anybody.
func NewVirtualKey() string {
	var b [randomSize + crc32.Size]byte
	_, _ = rand.Read(b[:randomSize]) // never fails, see crypto/rand
	binary.BigEndian.PutUint32(b[randomSize:], crc32.ChecksumIEEE(b[:randomSize]))
	return VirtualKeyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}
