package database

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// trialInterval is after how long without a change a check makes one.
const trialInterval = time.Minute

// writes knows whether the database takes what it is to store: one whose disk is full,
// and one that was made read-only, can still be read.
type writes struct {
	at atomic.Int64 // of the last change that was stored
	// refused tells that one was not since a check last found that they are. That one
	// was stored after another was refused does not tell that there is room.
	refused atomic.Bool
}

// Wrote is told how each change ended.
func (d *Database) Wrote(err error) {
	switch {
	case err == nil:
		d.writes.at.Store(time.Now().UnixNano())
	case refuses(err):
		d.writes.refused.Store(true)
	}
}

// CheckWrites fails if the database stores nothing. It has one change tried itself,
// larger than what a step of a sign-in writes, after one was refused, and a small
// one where there was none for a minute: what callers can make it do is never more.
func (d *Database) CheckWrites(ctx context.Context, try func(ctx context.Context, large bool) error) error {
	refused := d.writes.refused.Swap(false)
	if !refused && time.Now().UnixNano()-d.writes.at.Load() < int64(trialInterval) {
		return nil
	}
	err := try(ctx, refused)
	if err != nil && refused {
		d.writes.refused.Store(true)
	}
	if err == nil || !refuses(err) {
		return err
	}
	return fmt.Errorf("the database can be read, but not written to: %w", d.config.Explain(err, ""))
}

// refuses reports whether an error says that the database cannot store anything, and
// not that it is not there, nor that something is wrong with what it was to store.
func refuses(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Code {
	case "53300": // too many connections
		return false
	case "25006", // read-only
		"42501": // a right was taken away, as hosts do whose disk is nearly full
		return true
	}
	return strings.HasPrefix(answer.Code, "53") || strings.HasPrefix(answer.Code, "58") // no room, and faults of the disk
}
