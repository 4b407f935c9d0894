package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
)

const (
	versionUnder = 2
	saltSize     = 16
	gcmOverhead  = 12 + 16 // nonce and tag
)

// Under encrypts plaintext so that only the holder of the 256-bit secret can
// open it, whatever else they know.
func Under(secret string, plaintext []byte, context ...string) []byte {
	return encrypt([]byte{versionUnder}, []byte(secret), plaintext, context)
}

// OpenUnder reverses Under, or returns ErrOpen.
func OpenUnder(secret string, sealed []byte, context ...string) ([]byte, error) {
	if len(sealed) < 1 || sealed[0] != versionUnder {
		return nil, ErrOpen
	}
	return decrypt([]byte(secret), sealed[1:], context)
}

// encrypt returns header ‖ salt ‖ nonce ‖ ciphertext ‖ tag.
func encrypt(header, key, plaintext []byte, context []string) []byte {
	out := make([]byte, 0, len(header)+saltSize+gcmOverhead+len(plaintext))
	out = append(out, header...)
	var salt [saltSize]byte
	_, _ = rand.Read(salt[:]) // never fails, see crypto/rand
	out = append(out, salt[:]...)
	aead, err := recordCipher(key, salt[:])
	if err != nil {
		panic(err) // the key is not one that a caller may use
	}
	return aead.Seal(out, nil, plaintext, appendParts(nil, context))
}

// decrypt reverses encrypt for what follows the header.
func decrypt(key, body []byte, context []string) ([]byte, error) {
	if len(body) < saltSize+gcmOverhead {
		return nil, ErrOpen
	}
	aead, err := recordCipher(key, body[:saltSize])
	if err != nil {
		return nil, ErrOpen
	}
	plaintext, err := aead.Open(nil, nil, body[saltSize:], appendParts(nil, context))
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// recordCipher returns the cipher of the one record that has this salt.
func recordCipher(key, salt []byte) (cipher.AEAD, error) {
	recordKey, err := hkdf.Key(sha256.New, key, salt, "record", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(recordKey)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
