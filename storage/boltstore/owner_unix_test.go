//go:build unix

package boltstore

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// somebody is who is no administrator. Only an administrator can give files to anybody
// else than themselves.
func somebody() int {
	if own := os.Geteuid(); own != 0 {
		return own
	}
	return 65534
}

// An administrator gives what they restore to the user that runs Caddy, and nothing
// that this user puts in its place.
func TestOwner(t *testing.T) {
	user, administrator := somebody(), os.Geteuid()
	for name, tt := range map[string]struct {
		make func(secret, path string) error
		want int // owner of path
		fail bool
	}{
		"a file":        {func(_, path string) error { return os.WriteFile(path, nil, 0o600) }, user, false},
		"a link":        {os.Symlink, administrator, true},
		"a second name": {os.Link, administrator, true},
		"a pipe":        {func(_, path string) error { return syscall.Mkfifo(path, 0o600) }, administrator, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			secret, path := filepath.Join(dir, "secret"), filepath.Join(dir, "copy")
			if err := os.WriteFile(secret, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			folder := filepath.Join(dir, "of Caddy")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if administrator == 0 {
				if err := os.Chown(folder, user, user); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.make(secret, path); err != nil {
				t.Fatal(err)
			}
			if err := own(path, filepath.Join(dir, "none"), folder); (err != nil) != tt.fail {
				t.Errorf("error %v, want one: %t", err, tt.fail)
			}
			if got := ownerOf(t, path); got != tt.want {
				t.Errorf("it belongs to %d, want %d", got, tt.want)
			}
			if got := ownerOf(t, secret); got != administrator {
				t.Errorf("the secret of the administrator belongs to %d", got)
			}
		})
	}
}

func ownerOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}
