// Package store is a store to begin your own with: all in memory, and each
// transaction in a file, as one line that is on disk before it is answered. It is
// complete, and small instead of fast: a transaction copies what it changes, a list
// sorts all keys, and the file only grows.
//
// What it leaves to you: a lock on the file, so that a second process gets
// storage.ErrInUse, and a way to open it from a Caddyfile. docs/stores.md says both.
package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/engine"
)

// Open opens the file, and makes it if it is not there.
func Open(path string) (storage.Store, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: f, records: map[string][]byte{}}
	if err := j.replay(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return engine.New(j), nil
}

// journal is an engine.Engine.
type journal struct {
	mu      sync.RWMutex
	file    *os.File
	records map[string][]byte
	failed  error // what a write failed with: nothing behind it can be read again
	closed  bool
}

// record is one that a transaction wrote, or removed if it has no value. Keys are
// bytes, and need not be text.
type record struct{ Key, Value []byte }

// replay reads what was committed. A line that was cut off was never answered.
func (j *journal) replay() error {
	lines := bufio.NewReader(j.file)
	whole := int64(0)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		var done []record
		if err == nil {
			err = json.Unmarshal(line, &done)
		}
		if err != nil {
			return fmt.Errorf("%s is damaged behind byte %d: %w", j.file.Name(), whole, err)
		}
		j.apply(done)
		whole += int64(len(line))
	}
	if err := j.file.Truncate(whole); err != nil {
		return err
	}
	_, err := j.file.Seek(whole, io.SeekStart)
	return errors.Join(err, j.file.Sync())
}

func (j *journal) apply(done []record) {
	for _, r := range done {
		if r.Value == nil {
			delete(j.records, string(r.Key))
		} else {
			j.records[string(r.Key)] = r.Value
		}
	}
}

// View implements engine.Engine.
func (j *journal) View(ctx context.Context, fn func(engine.Reader) error) error {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if err := j.ready(ctx); err != nil {
		return err
	}
	return fn(&tx{records: j.records})
}

// Update implements engine.Engine: one transaction at a time, on disk before it
// counts, and before anybody hears of it.
func (j *journal) Update(ctx context.Context, fn func(engine.Tx) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.ready(ctx); err != nil {
		return err
	}
	if j.failed != nil {
		return j.failed
	}
	t := &tx{records: j.records, changes: map[string][]byte{}}
	if err := fn(t); err != nil || len(t.changes) == 0 {
		return err
	}
	var done []record
	for key, value := range t.changes {
		done = append(done, record{[]byte(key), value})
	}
	line, err := json.Marshal(done)
	if err != nil {
		return err
	}
	if _, err = j.file.Write(append(line, '\n')); err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.failed = fmt.Errorf("%s must be opened again: %w", j.file.Name(), err)
		return j.failed
	}
	j.apply(done)
	return nil
}

func (j *journal) ready(ctx context.Context) error {
	if j.closed {
		return storage.ErrClosed
	}
	return ctx.Err()
}

// Close implements engine.Engine.
func (j *journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	return j.file.Close()
}

// tx is what a transaction sees: the records, and in front of them its own changes.
type tx struct {
	records map[string][]byte
	changes map[string][]byte // nil removes a record
}

func (t *tx) Get(key []byte) []byte {
	if value, changed := t.changes[string(key)]; changed {
		return value
	}
	return t.records[string(key)]
}

func (t *tx) Scan(from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		keys := maps.Clone(t.records)
		maps.Copy(keys, t.changes)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if value := keys[key]; key >= string(from) && value != nil && !yield([]byte(key), value) {
				return
			}
		}
	}
}

func (t *tx) Put(key, value []byte) error {
	t.changes[string(key)] = bytes.Clone(value)
	return nil
}

func (t *tx) Delete(key []byte) error {
	t.changes[string(key)] = nil
	return nil
}
