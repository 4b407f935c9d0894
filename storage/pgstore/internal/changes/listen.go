package changes

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// connectPatience bounds each step but waiting.
	connectPatience = 10 * time.Second
	// probeInterval is how often a silent connection is tried: of one that was cut
	// off nobody tells.
	probeInterval = 15 * time.Second
	// probePatience is how long the notification of a probe may take.
	probePatience = 3 * time.Second

	firstPause, longestPause = 100 * time.Millisecond, 30 * time.Second
	// briefly is how many failures in a row are nothing to tell of, as when the
	// database is started anew.
	briefly = 6

	probePrefix = "probe "
)

// errDeaf is the failure of a connection on which nothing arrives.
var errDeaf = errors.New("notifications do not arrive, as through a pooler that pools transactions; name a direct connection with listen_dsn")

// listen wakes the watch when there is something to read, until it is closed.
func (w *watch) listen() {
	ctx, cancel := context.WithCancel(context.Background())
	w.watcher.open.Go(func() {
		defer cancel()
		select {
		case <-w.over:
		case <-w.watcher.closed:
		}
	})
	w.watcher.open.Go(func() {
		pause, failures := firstPause, 0
		for ctx.Err() == nil {
			heard, err := w.listenOnce(ctx)
			if heard {
				pause, failures = firstPause, 0
			}
			if failures++; failures > briefly || errors.Is(err, errDeaf) {
				w.polls.Store(&err)
			}
			if errors.Is(err, errDeaf) {
				pause = longestPause
			}
			wait := time.NewTimer(pause/2 + mathrand.N(pause/2))
			select {
			case <-wait.C:
			case <-ctx.Done():
				wait.Stop()
			}
			pause = min(2*pause, longestPause)
		}
	})
}

// listenOnce listens on one connection until it fails. It reports whether a
// notification ever arrived.
func (w *watch) listenOnce(ctx context.Context) (heard bool, err error) {
	connecting, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	var listens atomic.Bool
	config := w.watcher.db.Listen()
	dial := config.DialFunc
	// Before it closes a connection, pgx asks the server on another one to cancel what
	// runs. Nothing does, and of a database that hangs there is no answer.
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if listens.Load() {
			return nil, net.ErrClosed
		}
		return dial(ctx, network, address)
	}
	conn, err := pgx.ConnectConfig(connecting, config)
	if err != nil {
		return false, fmt.Errorf("the connection that listens for notifications: %w", err)
	}
	listens.Store(true)
	defer hangUp(context.WithoutCancel(ctx), conn)
	if _, err := conn.Exec(connecting, "listen "+w.watcher.channel); err != nil {
		return false, fmt.Errorf("the connection that listens for notifications: %w", err)
	}
	for {
		if err := w.probe(ctx, conn); err != nil {
			return heard, err
		}
		heard = true
		w.polls.Store(nil)
		w.wake() // of what came before it listened
		if err := w.hear(ctx, conn); err != nil {
			return heard, err
		}
	}
}

// hangUp closes a connection at once, whether or not the server takes notice.
func hangUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = conn.Close(ctx)
	select {
	case <-conn.PgConn().CleanupDone():
	case <-ctx.Done():
		_ = conn.PgConn().Conn().Close()
	}
}

// probe finds out whether notifications arrive, by one of its own.
func (w *watch) probe(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	sent := probePrefix + rand.Text()
	err := w.watcher.db.Query(ctx, func(rows pgx.Rows) error { rows.Close(); return rows.Err() }, `select pg_notify($1, $2)`, w.watcher.channel, sent)
	if err != nil {
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		switch {
		case err == nil && n.Payload == sent:
			return nil
		case err == nil:
			w.heard(n.Payload)
		case ctx.Err() == context.DeadlineExceeded && !conn.IsClosed():
			return errDeaf
		default:
			return err
		}
	}
}

// hear waits for notifications until there was none for a while.
func (w *watch) hear(ctx context.Context, conn *pgx.Conn) error {
	for {
		waiting, cancel := context.WithTimeout(ctx, probeInterval)
		n, err := conn.WaitForNotification(waiting)
		silent := waiting.Err() == context.DeadlineExceeded
		cancel()
		switch {
		case err == nil:
			w.heard(n.Payload)
		case silent && !conn.IsClosed():
			return nil
		default:
			return err
		}
	}
}

func (w *watch) heard(payload string) {
	if !strings.HasPrefix(payload, probePrefix) { // which is another's
		w.wake()
	}
}

func (w *watch) wake() {
	select {
	case w.woken <- struct{}{}:
	default: // it is to read already
	}
}
