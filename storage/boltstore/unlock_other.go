//go:build !unix || solaris || illumos || aix

package boltstore

import "os"

// letGo closes the file, which gives its lock back.
func letGo(f *os.File) error { return f.Close() }
