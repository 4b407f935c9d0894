package boltstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Checker is what a check is made with.
type Checker struct {
	// Keys are to open what is sealed; nil does not try.
	Keys *seal.Keyring
	Now  time.Time
}

// maxFaults is how many faults a report names.
const maxFaults = 100

// Report is what a check found.
type Report struct {
	Size   int64 `json:"size"` // in bytes
	Schema int   `json:"schema"`
	// TakenAt is when the backup was made; zero for a file that is none.
	TakenAt time.Time `json:"taken_at,omitzero"`
	// Records counts them by what they are.
	Records map[string]int `json:"records"`
	// Sealed counts what is sealed by the name of the key, and Unopened what none of
	// the keys opens.
	Sealed   map[string]int `json:"sealed"`
	Unopened int            `json:"unopened"`
	// Faults are what is wrong, the first of them; More counts the others.
	Faults []string `json:"faults,omitempty"`
	More   int      `json:"more_faults,omitempty"`
	// NewestUse is when anything in it was last used, as far as grants tell.
	NewestUse time.Time `json:"newest_use,omitzero"`
}

// Sound reports whether nothing is wrong.
func (r *Report) Sound() bool { return len(r.Faults) == 0 }

func (r *Report) fault(what string) {
	if len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, what)
		return
	}
	r.More++
}

// check reads all records.
func (r *Report) check(ctx context.Context, from kv.Reader, c Checker) error {
	r.Sealed = map[string]int{}
	checks := &kv.Checks{Now: c.Now, Fault: r.fault, Opens: func(v storage.SealedValue) bool {
		if id := seal.KeyID(v.Sealed); id != "" {
			r.Sealed[id]++
		}
		if c.Keys == nil {
			return true
		}
		if _, err := c.Keys.Open(v.Sealed, v.Context...); err != nil {
			r.Unopened++
			return false
		}
		return true
	}}
	until := &untilDone{Reader: from, ctx: ctx}
	kv.CheckRecords(until, checks)
	r.Records, r.NewestUse = checks.Records, checks.NewestUse
	return ctx.Err()
}

// untilDone is a reader that has no more once its context has ended.
type untilDone struct {
	kv.Reader
	ctx context.Context
}

func (u *untilDone) Scan(from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for key, value := range u.Reader.Scan(from) {
			if u.ctx.Err() != nil || !yield(key, value) {
				return
			}
		}
	}
}

// CheckAll checks the open database as it is at this moment: each page, and each
// record with what it is found by. Nobody waits for it.
func (s *Store) CheckAll(ctx context.Context, c Checker) (*Report, error) {
	snapshot, err := s.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	report := &Report{Size: snapshot.tx.Size(), Schema: schema}
	meta, err := snapshot.meta()
	if err == nil {
		err = snapshot.db.guard(func() error { return checkTree(snapshot.db.file, snapshot.db.pageSize, meta) })
	}
	if err == nil {
		err = snapshot.db.guard(func() error { return report.check(ctx, &tx{Tx: snapshot.tx}, c) })
	}
	return report, err
}

// CheckFile does the same with a file that nobody has open, and changes nothing in
// it. Its errors are those of Open, and damage.
func CheckFile(ctx context.Context, path string, c Checker) (report *Report, err error) {
	takenAt, err := checkTrailer(path)
	if err != nil {
		return nil, explain(path, err)
	}
	bo := options(Options{}, bbolt.Options{})
	if err := verify(path, bo); err != nil {
		return nil, explain(path, err)
	}
	bo.ReadOnly = true
	db := &database{path: path}
	if err := db.open(bo); err != nil {
		return nil, explain(path, err)
	}
	err = db.guard(func() error {
		return db.bolt.View(func(btx *bbolt.Tx) error {
			report = &Report{Size: btx.Size(), TakenAt: takenAt}
			found, err := schemaOf(btx)
			if report.Schema = found; err != nil {
				return err
			}
			if found != schema {
				return fmt.Errorf("it has schema %d, and this program checks %d: open it with this one first, which migrates it", found, schema)
			}
			for fault := range btx.Check() {
				report.fault(fault.Error())
			}
			return report.check(ctx, &tx{Tx: btx}, c)
		})
	})
	if closed := guarded(db.bolt.Close); err == nil {
		err = closed
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return nil, explain(path, err)
	}
	return report, err
}
