package encryptionkey

import (
	"crypto/rand"
	"encoding/base64"
	"os"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/newfile"
)

// New returns a new key, as operators write it.
func New() string {
	key := make([]byte, Size)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	return base64.StdEncoding.EncodeToString(key)
}

// WriteNew writes a new key into a file that only its owner may read. One that is
// there stays as it is, and the error is fs.ErrExist.
func WriteNew(path string) error {
	return newfile.Create(path, func(f *os.File) error {
		_, err := f.WriteString(New() + "\n")
		return err
	})
}
