package boltstore

import (
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"go.etcd.io/bbolt"
)

// Snapshot is the database as it was at one moment, whatever is written since. It is
// to be closed soon: the file grows while it is open.
type Snapshot struct {
	db *database
	tx *bbolt.Tx
}

// Snapshot takes a snapshot.
func (s *Store) Snapshot() (*Snapshot, error) {
	tx, err := s.engine.db.begin(false)
	if err != nil {
		return nil, err
	}
	return &Snapshot{s.engine.db, tx}, nil
}

// Size returns how many bytes Write writes.
func (s *Snapshot) Size() int64 { return s.tx.Size() + trailerSize }

// Write writes the snapshot: a whole database file, and behind it when it was taken
// and the checksum, by which a restore knows it again.
func (s *Snapshot) Write(w io.Writer, now time.Time) error {
	sum := sha256.New()
	if err := s.pages(io.MultiWriter(w, sum)); err != nil {
		return err
	}
	t := trailer{state: uint64(s.tx.ID()), takenAt: now}
	sum.Sum(t.sum[:0])
	_, err := w.Write(t.bytes())
	return err
}

// pages writes the database file.
func (s *Snapshot) pages(w io.Writer) error {
	return s.db.guard(func() error {
		_, err := s.tx.WriteTo(w)
		return err
	})
}

// Close ends the snapshot.
func (s *Snapshot) Close() { s.db.rollback(s.tx) }

// meta returns what the snapshot begins with, as one of the two first pages of the
// file does.
func (s *Snapshot) meta() ([]byte, error) {
	var head firstPage
	err := s.pages(&head)
	if len(head) < pageHeader+metaLength {
		return nil, errors.Join(errDamaged, err)
	}
	return head[pageHeader : pageHeader+metaLength], nil
}

// firstPage keeps what is written first, and refuses the rest.
type firstPage []byte

func (p *firstPage) Write(b []byte) (int, error) {
	if *p != nil {
		return 0, io.ErrShortWrite
	}
	*p = append([]byte{}, b...)
	return len(b), nil
}
