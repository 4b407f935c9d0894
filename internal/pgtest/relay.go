//go:build unix

package pgtest

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Relay is a socket on the way to a server. It counts how often somebody asks
// something there and waits for the answer.
type Relay struct {
	server *Server
	dir    string
	trips  atomic.Uint64
	listen net.Listener
	wait   sync.WaitGroup
}

// Relay makes one in a folder.
func (s *Server) Relay(dir string) (*Relay, error) {
	r := &Relay{server: s, dir: dir}
	socket := fmt.Sprintf(".s.PGSQL.%d", s.Port())
	var err error
	if r.listen, err = new(net.ListenConfig).Listen(context.Background(), "unix", filepath.Join(dir, socket)); err != nil {
		return nil, err
	}
	r.wait.Go(func() {
		for {
			client, err := r.listen.Accept()
			if err != nil {
				return
			}
			database, err := new(net.Dialer).DialContext(context.Background(), "unix", filepath.Join(s.Dir(), socket))
			if err != nil {
				_ = client.Close()
				continue
			}
			r.join(client, database)
		}
	})
	return r, nil
}

// join hands on what both sides say.
func (r *Relay) join(client, database net.Conn) {
	var waits atomic.Bool
	r.wait.Go(func() {
		forward(database, client, func() {
			if !waits.Swap(true) {
				r.trips.Add(1)
			}
		})
	})
	r.wait.Go(func() { forward(client, database, func() { waits.Store(false) }) })
}

// forward copies what arrives, and tells of it before it goes on.
func forward(to, from net.Conn, arrived func()) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			arrived()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// DSN is that of the server, through the relay.
func (r *Relay) DSN() string { return r.server.dsn(r.dir) }

// Trips returns how often somebody waited so far.
func (r *Relay) Trips() uint64 { return r.trips.Load() }

// Close waits until the connections are closed by those who use them.
func (r *Relay) Close() {
	_ = r.listen.Close()
	r.wait.Wait()
}
