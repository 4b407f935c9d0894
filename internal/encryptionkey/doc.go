// Package encryptionkey reads the keys that protect what is stored: as operators
// write them, and from the file of the one that is generated where none is
// configured, which it makes. No error of it repeats a key.
//
// It encrypts nothing: package seal does.
package encryptionkey
