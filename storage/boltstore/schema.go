package boltstore

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/newfile"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// Beside the buckets of the records, whose names are one byte long, the file
// has one for what is known about them.
var (
	metaBucket = []byte("meta")
	schemaKey  = []byte("schema")
)

const (
	// schema is the version of the layout that this program reads and writes.
	schema = 3
	// oldest is the earliest that it can migrate.
	oldest = 2
)

// migrations take a file of a version to the next one.
var migrations = map[int]func(kv.Tx) error{
	2: kv.KeepRegistrationsBySite,
}

// Migration is what became of a file of an earlier version.
type Migration struct {
	From, To int
	// Copy is where the file is kept as it was before; empty if it is not.
	Copy string
}

// layOut lays out a new file.
func layOut(db *bbolt.DB) error {
	return db.Update(func(tx *bbolt.Tx) error {
		if name, _ := tx.Cursor().First(); name != nil {
			return nil
		}
		return putSchema(tx)
	})
}

func putSchema(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	version := strconv.Itoa(schema)
	if meta.Get(markKey) != nil {
		version += closedSuffix
	}
	return meta.Put(schemaKey, []byte(version))
}

// migrate brings the file to this program's layout, in one transaction, and keeps a
// copy of it as it was. It refuses, without writing, a file that this program does
// not understand.
func (d *database) migrate(o Options) error {
	found := 0
	err := d.bolt.View(func(tx *bbolt.Tx) (err error) {
		if name, _ := tx.Cursor().First(); name == nil {
			return nil
		}
		if found, err = schemaOf(tx); err == nil && !o.moves {
			err = notMoved(tx)
		}
		return err
	})
	switch {
	case err != nil || found == schema:
		return err
	case o.looks && found != 0:
		return fmt.Errorf("it was written by an earlier version of this program (schema %d, this one has %d), and is not changed by only looking; start this version of Caddy with it once, or leave away --dry-run", found, schema)
	case found == 0:
		return layOut(d.bolt)
	}
	if err := d.settle(); err != nil {
		return err
	}
	m := &Migration{From: found, To: schema}
	if !o.noCopy {
		m.Copy = fmt.Sprintf("%s.schema-%d", d.path, found)
		if err := d.copyTo(m.Copy); err != nil {
			return fmt.Errorf("it was written by an earlier version of this program, and cannot be copied before it is migrated: %w; nothing was changed", err)
		}
	}
	err = d.bolt.Update(func(btx *bbolt.Tx) error {
		for version := found; version < schema; version++ {
			if err := migrations[version](&tx{Tx: btx}); err != nil {
				return fmt.Errorf("migrating it from schema %d failed: %w; nothing was changed", version, err)
			}
		}
		return putSchema(btx)
	})
	if err == nil {
		d.migrated = m
	}
	return err
}

// copyTo writes the file as it is into another one, in place of that.
func (d *database) copyTo(path string) error {
	return newfile.Replace(path, func(f *os.File) error {
		return d.bolt.View(func(tx *bbolt.Tx) error {
			_, err := tx.WriteTo(f)
			return err
		})
	})
}

// schemaOf returns the version of a layout that this program reads or can migrate.
func schemaOf(tx *bbolt.Tx) (int, error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return 0, errors.New("this is another program's database")
	}
	found, err := strconv.Atoi(strings.TrimSuffix(string(meta.Get(schemaKey)), closedSuffix))
	switch {
	case err != nil || found < 1:
		return 0, errors.New("the version of its schema is unreadable")
	case found > schema:
		return found, fmt.Errorf("a newer version of this program wrote it (schema %d, this one knows %d); nothing was changed. Run that version, or go back to the copy that it kept beside the file, named …schema-%d", found, schema, schema)
	case found < oldest:
		return found, fmt.Errorf("it was written before the first release (schema %d, this one knows %d); nothing was changed. Move it away to start with a new one", found, schema)
	}
	return found, nil
}
