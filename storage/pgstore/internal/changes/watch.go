package changes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// page bounds how many changes are read at a time.
	page = 1000
	// closest is how soon one reads again at most, whoever tells it to.
	closest = 20 * time.Millisecond
	// failurePause is how long one waits after a failure.
	failurePause = time.Second
)

// watch implements storage.Watch.
type watch struct {
	watcher *Watcher
	at      position
	readAt  time.Time // when it last knew all
	tried   time.Time
	failed  bool

	woken chan struct{} // by the listener
	polls atomic.Pointer[error]
	close sync.Once
	over  chan struct{}
}

// Next implements storage.Watch.
func (w *watch) Next(ctx context.Context) ([]storage.Change, error) {
	if err := w.wait(ctx); err != nil {
		return nil, err
	}
	w.tried = time.Now()
	changes, err := w.read(ctx)
	w.failed = err != nil
	if err != nil {
		return nil, err
	}
	w.readAt = w.tried
	return changes, nil
}

// wait returns when it is time to read.
func (w *watch) wait(ctx context.Context) error {
	pause := closest
	if w.failed {
		pause = failurePause + rand.N(failurePause/2)
	}
	if err := w.sleep(ctx, time.Until(w.tried.Add(pause)), nil); err != nil || w.failed {
		return err
	}
	return w.sleep(ctx, time.Until(w.tried.Add(storage.WatchInterval)), w.woken)
}

// sleep waits for so long, or until it is woken.
func (w *watch) sleep(ctx context.Context, d time.Duration, woken <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.over:
		return storage.ErrClosed
	case <-w.watcher.closed:
		return storage.ErrClosed
	case <-woken:
	case <-timer.C:
	}
	return nil
}

// start takes the position behind all that was committed. What is missing of the
// last numbers may be under way.
func (w *watch) start(ctx context.Context) error {
	old := w.watcher.db.Soon(Retention - window)
	w.tried = time.Now()
	var at position
	err := w.watcher.db.Query(ctx, func(rows pgx.Rows) error {
		at = position{} // the statement may run again
		for rows.Next() {
			var number int64
			var isOld bool
			if err := rows.Scan(&number, &isOld); err != nil {
				return err
			}
			if isOld {
				at.highest = number
			}
			at.saw(number, w.tried)
		}
		return rows.Err()
	}, `select number, keep_until <= $1 from {}changes
		where number >= coalesce((select max(number) from {}changes where keep_until <= $1), 0) order by number`, old)
	if err == nil {
		w.at, w.readAt = at, w.tried
	}
	return err
}

// row is one change.
type row struct {
	number int64
	ours   bool
	body   []byte
}

// read returns what is new.
func (w *watch) read(ctx context.Context) (all []storage.Change, err error) {
	if time.Since(w.readAt) > Retention-window { // as after a machine slept
		return w.missed(ctx)
	}
	for {
		rows, highest, err := w.rows(ctx)
		if err != nil {
			return nil, err
		}
		if highest < w.at.highest { // the database is another, such as an older copy
			return w.missed(ctx)
		}
		for _, r := range rows {
			if !w.at.saw(r.number, w.tried) || r.ours {
				continue
			}
			var c storage.Change
			if err := json.Unmarshal(r.body, &c); err != nil { // of a newer program: nobody knows what it is about
				c = storage.Change{Kind: storage.ChangesMissed}
			}
			all = append(all, c)
		}
		if len(rows) < page {
			return all, nil
		}
	}
}

// rows returns the next rows, and the highest number that there is.
func (w *watch) rows(ctx context.Context) (all []row, highest int64, err error) {
	err = w.watcher.db.Query(ctx, func(rows pgx.Rows) error {
		all, highest = nil, 0 // the statement may run again
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.number, &r.ours, &r.body); err != nil {
				return err
			}
			if r.body == nil {
				highest = r.number
				continue
			}
			all = append(all, r)
		}
		return rows.Err()
	}, `(select number, writer = $1, body from {}changes where number > $2 order by number limit $4)
		union all (select number, writer = $1, body from {}changes where number = any($3::bigint[]))
		union all (select number, false, null from {}changes order by number desc limit 1)`,
		w.watcher.self, w.at.highest, w.at.lookFor(w.tried), page)
	slices.SortFunc(all, func(a, b row) int { return cmp.Compare(a.number, b.number) })
	return all, highest, err
}

// missed starts again, after what nobody kept.
func (w *watch) missed(ctx context.Context) ([]storage.Change, error) {
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	return []storage.Change{{Kind: storage.ChangesMissed}}, nil
}

// Polls implements storage.Watch.
func (w *watch) Polls() error {
	if !w.watcher.notifies {
		return errNoNotifications
	}
	if err := w.polls.Load(); err != nil {
		return *err
	}
	return nil
}

// Close implements storage.Watch.
func (w *watch) Close() { w.close.Do(func() { close(w.over) }) }

var errNoNotifications = errors.New("the database has no notifications (LISTEN and NOTIFY)")
