package caddymodule

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

const keySize = 32

var errKeyForm = errors.New("must be 32 random bytes in base64 or hexadecimal; create one with `openssl rand -base64 32`")

var errRegularKey = errors.New("must not be easy to guess; put a new one first, made with `openssl rand -base64 32`, and keep this one below it until all is sealed anew")

// resolveKey returns the key behind a configured value. Its errors never
// repeat the key.
func resolveKey(value string, first bool) ([]byte, error) {
	text, _, err := whenProvisioning(value)
	if err != nil {
		return nil, err
	}
	return checkKey(strings.TrimSpace(text), first)
}

// checkKey returns the key in a text. The first of a ring, which seals, must be
// random. One that was replaced is needed to read what it sealed, however it
// was made.
func checkKey(text string, first bool) ([]byte, error) {
	key, err := decodeKey(text)
	if err == nil && first && regular(key) {
		return nil, errRegularKey
	}
	return key, err
}

var filePlaceholder = regexp.MustCompile(`^\{file\.([^{}]+)\}$`)

// keyFileOpenToOthers returns the file that an operator keeps a key in, and its
// mode, if others than its owner may read it. Secrets that are mounted into a
// container often have such a mode, so it is no error.
func keyFileOpenToOthers(value string) (file string, mode fs.FileMode) {
	match := filePlaceholder.FindStringSubmatch(value)
	if match == nil || runtime.GOOS == "windows" { // access there is not in the mode
		return "", 0
	}
	info, err := os.Stat(match[1])
	if err != nil || info.Mode().Perm()&0o044 == 0 {
		return "", 0
	}
	return match[1], info.Mode().Perm()
}

func decodeKey(text string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(text); err == nil && len(key) == keySize {
			return key, nil
		}
	}
	return nil, errKeyForm
}

// regular reports whether a key is too regular to be random: 32 random bytes,
// and the steps between them, have fewer than 16 different values practically
// never. What is all text was perhaps made up.
func regular(key []byte) bool {
	values, steps, text := map[byte]bool{}, map[byte]bool{}, true
	for i, b := range key {
		values[b], steps[b-key[max(i, 1)-1]] = true, true
		text = text && b >= ' ' && b <= '~'
	}
	return len(values) < 16 || len(steps) < 16 || text && easyToGuess(string(key))
}

// newKeyring returns the configured keys or, without any, the generated one.
func (a *App) newKeyring(state *processState) (*seal.Keyring, error) {
	if len(a.keys) > 0 {
		return seal.NewKeyring(a.keys...)
	}
	if a.path == "" { // nothing sealed outlives the process
		return seal.NewKeyring(state.ephemeralKey[:])
	}
	// Not beside the database, so that a copy of that directory is not a
	// copy of the key.
	path := filepath.Join(caddy.AppDataDir(), "mcp_oauth", "keys", "encryption.key")
	key, err := loadOrCreateKey(path)
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	a.log.Warn("no encryption_key is configured; using a generated one. Configure one to move or restore this installation",
		zap.String("file", path))
	return seal.NewKeyring(key)
}

// loadOrCreateKey returns the key in the file, which it creates if need be.
func loadOrCreateKey(path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return loadKey(path)
	}
	if err != nil {
		return nil, err
	}
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path)
		return nil, err
	}
	return key, nil
}

func loadKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o); run chmod 600 on it", path, mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := checkKey(strings.TrimSpace(string(text)), true)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged; restore it from a backup, or remove it to sign everybody out", path)
	}
	return key, nil
}
