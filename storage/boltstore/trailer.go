package boltstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A backup is a database file with a trailer behind it, which bbolt does not look at:
// when it was taken, and the checksum of all that is before. bbolt's own pages have
// none.
const (
	trailerSize  = 512
	trailerMagic = "caddy-mcp-oauth backup 1\n"
)

// trailer is what a backup ends with.
type trailer struct {
	state   uint64 // the transaction whose state it has
	takenAt time.Time
	sum     [sha256.Size]byte
}

func (t trailer) bytes() []byte {
	text := fmt.Sprintf("%sstate %d\ntaken %s\nsha256 %x\n", trailerMagic, t.state, t.takenAt.UTC().Format(time.RFC3339), t.sum)
	return append([]byte(text), make([]byte, trailerSize-len(text))...)
}

// readTrailer returns the trailer of a file; found is false if it has none.
func readTrailer(f *os.File) (t trailer, found bool, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() < trailerSize {
		return t, false, err
	}
	b := make([]byte, min(info.Size(), 2*trailerSize)) // more, to find one that was cut short
	if _, err := f.ReadAt(b, info.Size()-int64(len(b))); err != nil {
		return t, false, err
	}
	at := bytes.LastIndex(b, []byte(trailerMagic))
	if at < 0 {
		return t, false, nil
	}
	if b = b[at:]; len(b) != trailerSize {
		return t, true, damaged("it is cut short, or has something behind its end")
	}
	var taken, sum string
	_, err = fmt.Sscanf(string(b[len(trailerMagic):]), "state %d\ntaken %s\nsha256 %s\n", &t.state, &taken, &sum)
	if err == nil {
		t.takenAt, err = time.Parse(time.RFC3339, taken)
	}
	if n, bad := hex.Decode(t.sum[:], []byte(sum[:min(len(sum), 2*sha256.Size)])); bad != nil || n != sha256.Size || err != nil {
		return t, true, damaged("the trailer of the backup is")
	}
	return t, true, nil
}

// checkTrailer compares a backup with its trailer, and returns when it was taken; zero
// for a file that is none, or that was used as a database since.
func checkTrailer(path string) (takenAt time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return takenAt, err
	}
	defer f.Close()
	t, found, err := readTrailer(f)
	if err != nil || !found {
		return takenAt, err
	}
	info, err := f.Stat()
	if err != nil {
		return takenAt, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, info.Size()-trailerSize)); err != nil {
		return takenAt, err
	}
	if bytes.Equal(sum.Sum(nil), t.sum[:]) {
		return t.takenAt, nil
	}
	if newest := newestState(f); newest > t.state {
		return takenAt, nil
	}
	return takenAt, damaged("it is not what was backed up at %s: its checksum differs", t.takenAt.Format(time.RFC3339))
}

// newestState returns the newest transaction that the two first pages of a file name,
// whatever the size of its pages is.
func newestState(f *os.File) (newest uint64) {
	for at := int64(0); at <= 64<<10; at += 512 {
		m := make([]byte, metaLength)
		if _, err := f.ReadAt(m, at+pageHeader); err == nil && validMeta(m) {
			newest = max(newest, order.Uint64(m[48:]))
		}
	}
	return newest
}

// cutTrailer removes the trailer of a file, if it has one.
func cutTrailer(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, found, err := readTrailer(f)
	if err == nil && found {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil {
			err = errors.Join(f.Truncate(info.Size()-trailerSize), f.Sync())
		}
	}
	return errors.Join(err, f.Close())
}
