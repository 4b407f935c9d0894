package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
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

// Keyring is an ordered set of keys: the first seals, unless another one is to, and
// all open. It is safe for concurrent use.
type Keyring struct {
	keys    []ringKey
	sealing atomic.Int32 // which of the keys seals
}

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
	by := k.keys[k.sealing.Load()]
	header := append([]byte{versionRing}, by.id[:]...)
	return encrypt(header, by.key, plaintext, context)
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
	return len(sealed) >= ringHeader && sealed[0] == versionRing && keyID(sealed[1:ringHeader]) == k.keys[k.sealing.Load()].id
}

// IDs returns the names of the keys, in order. They tell nothing about the keys.
func (k *Keyring) IDs() []string {
	ids := make([]string, len(k.keys))
	for i, rk := range k.keys {
		ids[i] = hex.EncodeToString(rk.id[:])
	}
	return ids
}

// Sealing returns the name of the key that seals now.
func (k *Keyring) Sealing() string { return hex.EncodeToString(k.keys[k.sealing.Load()].id[:]) }

// SealWith makes the key with the name the one that seals, signs and makes MACs: of
// several processes that share what is sealed, each must be able to open it. It
// reports whether the ring has that key.
func (k *Keyring) SealWith(id string) bool {
	i := slices.Index(k.IDs(), id)
	if i >= 0 {
		k.sealing.Store(int32(i))
	}
	return i >= 0
}

// KeyID returns the name of the key that a text says it was sealed with, as in IDs,
// or "" if a ring has not sealed it.
func KeyID(sealed []byte) string {
	if len(sealed) < ringHeader || sealed[0] != versionRing {
		return ""
	}
	return hex.EncodeToString(sealed[1:ringHeader])
}

// Derive returns one 32-byte subkey per key of the ring for a purpose, that of the
// key that seals now first: sign with the first, verify with all.
func (k *Keyring) Derive(purpose string) [][32]byte {
	subkeys := k.derive(purpose)
	if first := int(k.sealing.Load()); first > 0 {
		subkeys = slices.Insert(slices.Delete(slices.Clone(subkeys), first, first+1), 0, subkeys[first])
	}
	return subkeys
}

func (k *Keyring) derive(purpose string) [][32]byte {
	subkeys := make([][32]byte, len(k.keys))
	for i, rk := range k.keys {
		subkeys[i] = [32]byte(expand(rk.key, "derive "+purpose, 32))
	}
	return subkeys
}

// MACs returns those under the ring's subkeys for a purpose.
func (k *Keyring) MACs(purpose string) MACs {
	m := NewMACs(k.derive(purpose)...)
	m.first = &k.sealing
	return m
}

// expand derives size bytes from a ring's key for a use that is not sealing.
func expand(key []byte, use string, size int) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, use, size)
	if err != nil {
		panic(err) // only sizes that no caller here asks for
	}
	return out
}
