// Package seal encrypts what must be read back: AES-256-GCM under a key
// derived for each record, with associated data that binds the result to its
// place. It stores nothing and knows no record.
package seal
