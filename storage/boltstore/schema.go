package boltstore

import (
	"errors"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"
)

// Beside the buckets of the records, whose names are one byte long, the file
// has one for what is known about them.
var (
	metaBucket = []byte("meta")
	schemaKey  = []byte("schema")
)

// schema is the version of the layout that this program reads and writes.
const schema = 2

// prepare lays out a new file, and refuses, without writing, one that this
// program does not understand.
func prepare(db *bbolt.DB) error {
	empty := false
	err := db.View(func(tx *bbolt.Tx) error {
		if name, _ := tx.Cursor().First(); name == nil {
			empty = true
			return nil
		}
		return checkSchema(tx)
	})
	if err != nil || !empty {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		return meta.Put(schemaKey, []byte(strconv.Itoa(schema)))
	})
}

func checkSchema(tx *bbolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return errors.New("this is another program's database")
	}
	found, err := strconv.Atoi(string(meta.Get(schemaKey)))
	if err != nil {
		return errors.New("the version of its schema is unreadable")
	}
	if found > schema {
		return fmt.Errorf("a newer version of this program wrote it (schema %d, this one knows %d); nothing was changed", found, schema)
	}
	if found < schema {
		return fmt.Errorf("it was written before the first release (schema %d, this one knows %d); nothing was changed. Move it away to start with a new one", found, schema)
	}
	return nil
}
