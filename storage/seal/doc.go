// Package seal encrypts what must be read back: AES-256-GCM under a key
// derived for each record, with associated data that binds the result to its
// place. It stores nothing and knows no record.
//
//	Seal    version ‖ key id ‖ salt ‖ nonce ‖ ciphertext ‖ tag
//	Under   version          ‖ salt ‖ nonce ‖ ciphertext ‖ tag
//
// The key of a record is HKDF-SHA-256 (RFC 5869) of the ring's key, or of the
// secret, with the record's random salt. No two records share a key, so the
// bound on random nonces under one key (NIST SP 800-38D section 8.3) is never
// near. The context is the associated data: each part behind its length, so
// that no two contexts read alike.
//
// What is handed out to be recognized, and has nothing to hide, gets a MAC.
package seal
