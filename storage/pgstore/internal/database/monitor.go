package database

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often the monitor looks for connections that wait.
	lookEvery = 100 * time.Millisecond
	// patience is how long a connection can wait for an answer before somebody asks
	// whether the database is there. It may well be: a statement can wait for a lock.
	patience = 400 * time.Millisecond
	// deadAfter is how long a connection can wait while the database answers others.
	// What is between drops what it has forgotten, and says nothing.
	deadAfter = 8 * time.Second
	// probePause is between two probes while the database is away.
	probePause = 200 * time.Millisecond
)

// Monitor knows whether a database answers.
type Monitor struct {
	// probe returns nil if the database can be used. It ends with its context.
	probe func(context.Context) error
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	// changed is told when the database is away, and with nil when it is back.
	changed func(cause error, lasted time.Duration)

	began   time.Time
	heard   atomic.Int64 // when anything arrived, as since says
	away    atomic.Pointer[outage]
	doubts  chan struct{}
	closing context.Context
	close   context.CancelFunc
	done    sync.WaitGroup

	mu      sync.Mutex
	conns   map[*conn]struct{}
	pending map[*dialing]struct{}
}

// outage is why the database is away, and since when.
type outage struct {
	cause error
	since time.Time
}

// dialing is a connection that is being made.
type dialing struct {
	since  int64
	cancel context.CancelFunc
}

func newMonitor(probe func(context.Context) error, dial func(context.Context, string, string) (net.Conn, error), changed func(error, time.Duration)) *Monitor {
	closing, end := context.WithCancel(context.Background())
	m := &Monitor{
		probe: probe, dial: dial, changed: changed, began: time.Now(), doubts: make(chan struct{}, 1), closing: closing, close: end,
		conns: map[*conn]struct{}{}, pending: map[*dialing]struct{}{},
	}
	m.done.Go(m.watch)
	return m
}

// since is the time of the monitor, never zero.
func (m *Monitor) since() int64 { return int64(time.Since(m.began)) + 1 }

// Away returns why the database is away, or nil.
func (m *Monitor) Away() error {
	if o := m.away.Load(); o != nil {
		return o.cause
	}
	return nil
}

// Doubt is called by who tried often enough.
func (m *Monitor) Doubt() {
	select {
	case m.doubts <- struct{}{}:
	default: // somebody has
	}
}

// end stops looking, and closes all connections.
func (m *Monitor) end() {
	m.close()
	m.done.Wait()
	m.hangUp(0)
}

func (m *Monitor) watch() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-m.closing.Done():
			return
		case <-m.doubts:
		case <-ticker.C:
			if !m.waits(patience) {
				continue
			}
		}
		m.look()
	}
}

// look asks whether the database is there, and if it is not, until it is.
func (m *Monitor) look() {
	began := m.since()
	err := m.probe(m.closing)
	switch {
	case m.closing.Err() != nil || err != nil && m.heard.Load() > began: // it answers somebody
		return
	case err == nil:
		m.hangUp(deadAfter)
		m.pause(patience) // what waits for a lock is asked about now and then
		return
	}
	since := time.Now()
	m.away.Store(&outage{err, since})
	m.hangUp(0)
	m.changed(err, 0)
	for err != nil {
		m.pause(probePause/2 + rand.N(probePause))
		if m.closing.Err() != nil {
			return
		}
		err = m.probe(m.closing)
	}
	m.away.Store(nil)
	m.changed(nil, time.Since(since))
}

func (m *Monitor) pause(d time.Duration) {
	select {
	case <-m.closing.Done():
	case <-time.After(d):
	}
}

// waits reports whether anything waits for as long.
func (m *Monitor) waits(d time.Duration) bool {
	before := m.since() - int64(d)
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		if c.waitsSince(before) {
			return true
		}
	}
	for p := range m.pending {
		if p.since <= before {
			return true
		}
	}
	return false
}

// hangUp closes what has waited for as long; all there is for zero.
func (m *Monitor) hangUp(d time.Duration) {
	before := m.since() - int64(d)
	var all []*conn
	m.mu.Lock()
	for c := range m.conns {
		if d == 0 || c.waitsSince(before) {
			all = append(all, c)
		}
	}
	for p := range m.pending {
		if p.since <= before {
			p.cancel()
		}
	}
	m.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}

// Dial makes a connection that the monitor sees. It fails at once while the
// database is away.
func (m *Monitor) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &dialing{m.since(), cancel}
	m.mu.Lock()
	m.pending[p] = struct{}{}
	m.mu.Unlock()
	err := m.Away()
	var dialed net.Conn
	if err == nil {
		dialed, err = m.dial(ctx, network, address)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pending, p)
	if err != nil {
		return nil, err
	}
	if err := m.Away(); err != nil { // which closed all that it knew
		_ = dialed.Close()
		return nil, err
	}
	c := &conn{Conn: dialed, monitor: m}
	m.conns[c] = struct{}{}
	return c, nil
}

// conn is a connection that notes what it waits for.
type conn struct {
	net.Conn
	monitor *Monitor
	asked   atomic.Int64 // since when it waits for an answer; zero if it does not
}

func (c *conn) waitsSince(before int64) bool {
	asked := c.asked.Load()
	return asked != 0 && asked <= before
}

func (c *conn) Write(b []byte) (int, error) {
	c.asked.CompareAndSwap(0, c.monitor.since())
	return c.Conn.Write(b)
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.asked.Store(0)
		c.monitor.heard.Store(c.monitor.since())
	}
	return n, err
}

func (c *conn) Close() error {
	c.monitor.mu.Lock()
	delete(c.monitor.conns, c)
	c.monitor.mu.Unlock()
	return c.Conn.Close()
}
