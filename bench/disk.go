package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// diskSyncRate returns how many 4 KiB writes per second the disk makes
// durable one after the other: the bound for a lone caller of anything that
// must not lose an answer.
func diskSyncRate(dir string, d time.Duration) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	block := bytes.Repeat([]byte{0xa5}, 4096)
	if _, err := f.Write(bytes.Repeat(block, 256)); err != nil { // the file never grows below
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	n := 0
	start := time.Now()
	for time.Since(start) < d {
		if _, err := f.WriteAt(block, int64(n%256)*4096); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// boltCommits returns how many transactions a database has committed so far. bbolt numbers them, and keeps the number in the two meta pages at
// the start of the file; reading them disturbs nobody. It syncs the file twice
// in each: the pages, then the meta page.
func boltCommits(path string) (uint64, error) {
	const (
		magic    = 0xED0CDAED
		idOffset = 64 // page header 16; magic, version, page size, flags 4 each; root 16, freelist 8, high-water mark 8
	)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // nothing was stored yet
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var last uint64
	for page := range int64(2) {
		var meta [72]byte
		if _, err := f.ReadAt(meta[:], page*int64(os.Getpagesize())); err != nil && err != io.EOF {
			return 0, err
		}
		if binary.NativeEndian.Uint32(meta[16:]) != magic {
			return 0, errors.New(path + " is no bbolt database")
		}
		last = max(last, binary.NativeEndian.Uint64(meta[idOffset:]))
	}
	return last, nil
}
