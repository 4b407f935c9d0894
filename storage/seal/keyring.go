package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// KeySize is the size of a ring's key in bytes.
const KeySize = 32

// Errors of opening.
var (
	// ErrOpen: the data was not sealed by a key of this ring for this context, or
	// was changed since.
	ErrOpen = errors.New("seal: cannot open")
	// errUnknownKey: the data names a key that is not in the ring. It is an
	// ErrOpen: whoever changed the data can also have changed the key's name.
	errUnknownKey = fmt.Errorf("%w: the key that sealed it is not in the ring", ErrOpen)
)

const (
	versionRing = 1
	keyIDSize   = 8
	ringHeader  = 1 + keyIDSize
)

type keyID [keyIDSize]byte

type ringKey struct {
	id  keyID
	key []byte
}

// Keyring is an ordered set of keys: the first seals, all open.
// It is safe for concurrent use.
type Keyring struct{ keys []ringKey }

// NewKeyring returns the ring of the 32-byte keys.
func NewKeyring(keys ...[]byte) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("seal: a ring needs at least one key")
	}
	k := &Keyring{}
	for i, key := range keys {
		if len(key) != KeySize {
			return nil, fmt.Errorf("seal: key %d has %d bytes; %d random bytes are needed", i+1, len(key), KeySize)
		}
		if bytes.Equal(key, make([]byte, KeySize)) {
			return nil, fmt.Errorf("seal: key %d is all zero; %d random bytes are needed", i+1, KeySize)
		}
		// The name is derived, so it tells nothing about the key.
		id := expand(key, "key id", keyIDSize)
		k.keys = append(k.keys, ringKey{id: keyID(id), key: bytes.Clone(key)})
	}
	return k, nil
}

// Seal encrypts plaintext for one context: what it is, and whose.
// Only the same context, in the same order, opens it.
func (k *Keyring) Seal(plaintext []byte, context ...string) []byte {
	first := k.keys[0]
	header := append([]byte{versionRing}, first.id[:]...)
	return encrypt(header, first.key, plaintext, context)
}

// Open reverses Seal, or returns ErrOpen.
func (k *Keyring) Open(sealed []byte, context ...string) ([]byte, error) {
	if len(sealed) < ringHeader || sealed[0] != versionRing {
		return nil, ErrOpen
	}
	id := keyID(sealed[1:ringHeader])
	for _, rk := range k.keys {
		if rk.id == id {
			return decrypt(rk.key, sealed[ringHeader:], context)
		}
	}
	return nil, errUnknownKey
}

// Current reports whether sealed names the key that seals now. What does not
// is due to be opened and sealed again before its key leaves the ring.
func (k *Keyring) Current(sealed []byte) bool {
	return len(sealed) >= ringHeader && sealed[0] == versionRing && keyID(sealed[1:ringHeader]) == k.keys[0].id
}

// IDs returns the names of the keys, in order. They tell nothing about the keys.
func (k *Keyring) IDs() []string {
	ids := make([]string, len(k.keys))
	for i, rk := range k.keys {
		ids[i] = hex.EncodeToString(rk.id[:])
	}
	return ids
}

// KeyID returns the name of the key that a text says it was sealed with, as in IDs,
// or "" if a ring has not sealed it.
func KeyID(sealed []byte) string {
	if len(sealed) < ringHeader || sealed[0] != versionRing {
		return ""
	}
	return hex.EncodeToString(sealed[1:ringHeader])
}

// Derive returns one 32-byte subkey per key of the ring for a purpose, in
// order: sign with the first, verify with all.
func (k *Keyring) Derive(purpose string) [][32]byte {
	subkeys := make([][32]byte, len(k.keys))
	for i, rk := range k.keys {
		subkeys[i] = [32]byte(expand(rk.key, "derive "+purpose, 32))
	}
	return subkeys
}

// expand derives size bytes from a ring's key for a use that is not sealing.
func expand(key []byte, use string, size int) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, use, size)
	if err != nil {
		panic(err) // only sizes that no caller here asks for
	}
	return out
}
