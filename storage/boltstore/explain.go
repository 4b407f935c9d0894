package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// explain adds to an error of Open which file it is about, and what to do.
func explain(path string, err error) error {
	explained := fmt.Errorf("boltstore: the database %s cannot be opened: %w%s", path, err, advice(path, err))
	if errors.Is(err, bolterrors.ErrTimeout) {
		return inUse{explained}
	}
	return explained
}

// inUse is an error that is also storage.ErrInUse.
type inUse struct{ error }

func (e inUse) Unwrap() []error { return []error{e.error, storage.ErrInUse} }

// advice follows a cause that the system or bbolt has named.
func advice(path string, err error) string {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return "; it is already open in another process: to change the configuration of a running Caddy, use caddy reload; else end that process, or give this one a storage path of its own"
	case isFolder(path):
		return "; it is a folder, and storage path names the file: add mcp_oauth.db to it"
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return "; it is no database, or its beginning is damaged: check storage path, restore the file from a backup, or move it away to start with an empty one"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("; let the user that runs Caddy (user id %d) read and write the file, and its folder, or change storage path", os.Getuid())
	case errors.Is(err, syscall.EROFS):
		return "; that disk is read-only: mount it for writing, or change storage path"
	case errors.Is(err, syscall.ENOSPC):
		return "; free some space on that disk"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist):
		return "; check storage path: what stands before the file's name must be a folder"
	default:
		return ""
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
