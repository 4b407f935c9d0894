package simulation

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// Network is what is between a store and its server. Requests are held back until
// their turn comes; some get lost on their way, or their answer does, or they arrive
// when whoever sent them has given up.
type Network struct {
	// IsRequest reports whether what is written to a connection is to be held back:
	// what changes something, and not what only prepares it.
	IsRequest func(written []byte) bool
	// Sessions returns which of the server's sessions are there, and which of them
	// wait for another one. It looks at them in this order.
	Sessions func(ids []uint32) (there, waiting []uint32, err error)
}

// Link is an instance's way to the server. A new one is made when it opens the store.
type Link struct {
	network *Network
	traffic *traffic
	number  int
	// open: requests are held back. Until the store is open, and while something
	// runs that nothing else meets, they are not.
	open, dead bool
}

// traffic is all that is on its way.
type traffic struct {
	mu    sync.Mutex
	conns []*conn
	// changed is told that something happened.
	changed chan struct{}
}

func newTraffic() *traffic { return &traffic{changed: make(chan struct{}, 1)} }

func (t *traffic) tell() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// conn is a connection to the server.
type conn struct {
	net.Conn
	link    *Link
	session uint32
	held    bool // its requests are held back, as far as they are requests
	state   connState
	request []byte
	fate    chan fate
	// losesAnswer: the answer to what is on its way gets lost.
	losesAnswer bool
}

type connState int

const (
	quiet   connState = iota
	waiting           // a request waits for its turn
	sent              // the server is at it
	late              // a request arrives later, and its sender is told of an error now
	lost              // nothing is sent any more; the server may still be at it
)

type fate int

const (
	deliver fate = iota
	loseRequest
	loseAnswer
	arriveLate
	giveUp
)

// errCut is what the network says when it breaks.
var errCut = fmt.Errorf("simulation: the connection broke: %w", io.ErrUnexpectedEOF)

// Dial connects through the network.
func (l *Link) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.traffic.mu.Lock()
	dead := l.dead
	l.traffic.mu.Unlock()
	if dead {
		return nil, errCut
	}
	inner, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner, link: l, fate: make(chan fate, 1)}, nil
}

// Hold begins to hold back the requests of a connection, which the server knows as a
// session.
func (l *Link) Hold(c net.Conn, session uint32) {
	held, is := c.(*conn)
	if !is {
		return
	}
	l.traffic.mu.Lock()
	defer l.traffic.mu.Unlock()
	held.held, held.session = true, session
	l.traffic.conns = append(l.traffic.conns, held)
}

// Adopt takes over the connections of the link that a store had when it was opened for
// an earlier schedule, and was kept open since. Nothing is on its way on them.
func (l *Link) Adopt(from *Link) {
	for _, c := range from.traffic.in(from, quiet) {
		l.traffic.mu.Lock()
		c.link = l
		l.traffic.conns = append(l.traffic.conns, c)
		l.traffic.mu.Unlock()
	}
}

// Crashed reports whether the process at this end is gone.
func (l *Link) Crashed() bool {
	l.traffic.mu.Lock()
	defer l.traffic.mu.Unlock()
	return l.dead
}

func (c *conn) Write(b []byte) (int, error) {
	t := c.link.traffic
	t.mu.Lock()
	switch {
	case c.broken():
		t.mu.Unlock()
		return 0, errCut
	case !c.held || !c.link.open || !c.link.network.IsRequest(b):
		t.mu.Unlock()
		return c.Conn.Write(b)
	}
	c.state, c.request = waiting, slices.Clone(b)
	t.mu.Unlock()
	t.tell()
	what := <-c.fate
	if what != deliver && what != loseAnswer {
		return 0, errCut
	}
	return c.Conn.Write(b)
}

// broken reports whether nothing passes any more, for whoever has the connection.
func (c *conn) broken() bool { return c.link.dead || c.state == late || c.state == lost }

// decide ends the wait of a request.
func (c *conn) decide(what fate) {
	t := c.link.traffic
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.state != waiting {
		return
	}
	switch what {
	case deliver:
		c.state = sent
	case loseAnswer:
		c.state, c.losesAnswer = sent, true
	case arriveLate:
		c.state = late
	case loseRequest, giveUp:
		c.state = lost
		_ = c.Conn.Close()
	}
	c.fate <- what
}

func (c *conn) Read(b []byte) (int, error) {
	t := c.link.traffic
	t.mu.Lock()
	broken := c.broken()
	t.mu.Unlock()
	if broken {
		return 0, errCut
	}
	n, err := c.Conn.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case c.broken():
		return 0, errCut
	case c.losesAnswer:
		c.state = lost
		_ = c.Conn.Close()
		return 0, errCut
	case c.state == sent && n > 0:
		c.state = quiet
	}
	return n, err
}

// arrive lets a late request arrive. Nobody hears of the answer.
func (c *conn) arrive() {
	t := c.link.traffic
	t.mu.Lock()
	defer t.mu.Unlock()
	c.state = lost
	_, _ = c.Conn.Write(c.request)
	_ = c.Conn.Close()
}

// abandon ends a connection whose request never arrives.
func (c *conn) abandon() {
	t := c.link.traffic
	t.mu.Lock()
	defer t.mu.Unlock()
	c.state = lost
	_ = c.Conn.Close()
}

// SetDeadline in the past is how a caller that gave up is noticed.
func (c *conn) SetDeadline(at time.Time) error {
	if !at.IsZero() && at.Before(time.Now()) {
		c.decide(giveUp)
	}
	err := c.Conn.SetDeadline(at)
	t := c.link.traffic
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.ignoreLost(err)
}

func (c *conn) Close() error {
	c.decide(giveUp)
	t := c.link.traffic
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.state == late {
		return nil // the request is on its way
	}
	if c.held {
		c.state = lost
	}
	return c.ignoreLost(c.Conn.Close())
}

// ignoreLost is called with the traffic locked.
func (c *conn) ignoreLost(err error) error {
	if err == nil || c.state == lost || c.state == late {
		return nil
	}
	return err
}

// kill ends a process: its connections are closed, and it makes no more.
func (l *Link) kill(arrives func() bool) {
	l.traffic.mu.Lock()
	l.dead = true
	of := slices.Clone(l.traffic.conns)
	l.traffic.mu.Unlock()
	for _, c := range of {
		if c.link != l {
			continue
		}
		if arrives() {
			c.decide(arriveLate)
		}
		_ = c.Close()
	}
}

// in returns the connections in a state, in an order that is always the same.
func (t *traffic) in(of *Link, states ...connState) (all []*conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		if slices.Contains(states, c.state) && (of == nil || c.link == of) {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b *conn) int { return a.link.number - b.link.number })
	return all
}

// forget drops connections whose session ended.
func (t *traffic) forget(gone func(session uint32) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns = slices.DeleteFunc(t.conns, func(c *conn) bool { return c.state == lost && gone(c.session) })
}
