//go:build postgres

package pgstore

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// farConn is a connection on which each request takes long, by the clock of who sends it.
type farConn struct {
	net.Conn
	passes func()
}

func (c farConn) Write(b []byte) (int, error) {
	c.passes()
	return c.Conn.Write(b)
}

// An instance whose database always takes seconds to answer, and whose clock is ten
// minutes behind, agrees with the others on when a record ends, to about as long as that
// takes. Its operator reads so, once.
func TestSlowDatabaseDecidesWhatEnds_E17(t *testing.T) {
	const behind, takes = 10 * time.Minute, 3 * time.Second
	near, schema, _ := openSchema(t, schemas)
	var passed, told atomic.Int64
	far := parsed(t, schema)
	far.now = func() time.Time { return time.Now().Add(time.Duration(passed.Load()) - behind) }
	far.database.Warn = func(text string) {
		if strings.Contains(text, "how far its clock is ahead") {
			told.Add(1)
		}
	}
	far.pool.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return farConn{conn, func() { passed.Add(int64(takes)) }}, err
	}
	s, err := Open(t.Context(), far)
	oauthtest.Closing(t, s, err)
	for i := range 30 {
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		now, value, ends := far.now(), storage.HashOf(string(rune('a'+i))), time.Minute
		truth := time.Since(now)
		if off := (s.Ahead() - truth).Abs(); off > 4*takes {
			t.Fatalf("after %d looks the clock counts as %v behind, and is %v", i+1, s.Ahead(), truth)
		}
		if first, err := s.UseOnce(t.Context(), value, now.Add(ends), now); err != nil || !first {
			t.Fatal(first, err)
		}
		for after, want := range map[time.Duration]bool{ends - 5*takes: true, ends + 5*takes: false} {
			if got, err := near.Used(t.Context(), value, now.Add(truth+after)); err != nil || got != want {
				t.Errorf("%v after a value was used for %v, it counts as used at another instance: %t, %v; want %t", after, ends, got, err, want)
			}
		}
	}
	if n := told.Load(); n != 1 {
		t.Errorf("the operator reads %d times that the database takes long, want once", n)
	}
}
