package encryptionkey

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/newfile"
)

var errEmptyFile = errors.New("it is empty")

// Generated returns the key in the file. It makes one if there is none and
// the database has nothing yet: beside records, another key would be a loss
// that nobody was told of.
func Generated(path, database string, isEmpty func() (bool, error)) ([]byte, error) {
	key, err := kept(path)
	empty := errors.Is(err, errEmptyFile) // an earlier version was killed while it made it
	if !empty && !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if unused, failed := isEmpty(); failed != nil {
		return nil, failed
	} else if !unused {
		return nil, fmt.Errorf("%s is missing or empty, and the database %s has records that were made with a key; restore the file from a backup, or configure the encryption_key they were made with. If it is lost, write a new one into the file (openssl rand -base64 32, mode 0600): then clients sign in again, and people connect their accounts again", path, database)
	}
	if empty {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return create(path)
}

// create makes a key, unless another process is faster.
func create(path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("%w; let the user that runs Caddy write to Caddy's data folder, or configure an encryption_key", err)
	}
	if err := WriteNew(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s: %w; let the user that runs Caddy write to its folder, or configure an encryption_key", path, err)
	}
	return kept(path)
}

// kept loads a key that is about to be used, and so must not be lost: whoever made its
// file may have been killed before its name was on disk.
func kept(path string) ([]byte, error) {
	key, err := load(path)
	if err == nil {
		err = newfile.SyncNames(path)
	}
	return key, err
}

func load(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o); run chmod 600 on it", path, mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w; it must be a file that the user that runs Caddy can read", err)
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("%s: %w", path, errEmptyFile)
	}
	key, err := Parse(strings.TrimSpace(string(text)), true)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged; restore it from a backup, or remove it with the database to start anew", path)
	}
	return key, nil
}
