//go:build unix

package boltstore

import (
	"os"
	"syscall"
)

// ownAs gives a file the owner of another one, or of its folder: what an administrator
// restores or compacts belongs to the user that runs Caddy. Nobody else can, nor has to.
func ownAs(path string, like ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range like {
		if info, err := os.Stat(name); err == nil {
			if of, ok := info.Sys().(*syscall.Stat_t); ok {
				return os.Chown(path, int(of.Uid), int(of.Gid))
			}
		}
	}
	return nil
}
