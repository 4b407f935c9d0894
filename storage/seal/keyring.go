package seal

import "errors"

// ErrOpen: the data was not sealed by a key of this ring for this context, or
// was changed since.
var ErrOpen = errors.New("seal: cannot open")

// Keyring is an ordered set of keys: the first seals, all open.
type Keyring struct{}

// NewKeyring returns the ring of the 32-byte keys.
func NewKeyring(keys ...[]byte) (*Keyring, error) { return nil, errors.New("stub") }

// Seal encrypts plaintext for one context: what it is, and whose.
// Only the same context, in the same order, opens it.
func (k *Keyring) Seal(plaintext []byte, context ...string) []byte { return nil }

// Open reverses Seal, or returns ErrOpen.
func (k *Keyring) Open(sealed []byte, context ...string) ([]byte, error) { return nil, ErrOpen }

// Derive returns one 32-byte subkey per key of the ring for a purpose, in
// order: sign with the first, verify with all.
func (k *Keyring) Derive(purpose string) [][32]byte { return nil }

// Under encrypts plaintext so that only the holder of the 256-bit secret can
// open it, whatever else they know.
func Under(secret string, plaintext []byte, context ...string) []byte { return nil }

// OpenUnder reverses Under, or returns ErrOpen.
func OpenUnder(secret string, sealed []byte, context ...string) ([]byte, error) { return nil, ErrOpen }
