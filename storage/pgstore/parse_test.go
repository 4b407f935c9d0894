package pgstore

import (
	"strings"
	"testing"
	"time"
)

// Over a network the database proves who it is.
func TestParse(t *testing.T) {
	const network, local = "postgres://u:canary@db.example.com/d", "postgres://u:canary@127.0.0.1/d"
	for dsn, want := range map[string]string{
		network + "?sslmode=verify-full":                   "u@db.example.com:5432/d schema mcp_oauth",
		network:                                            "write sslmode=verify-full",
		network + "?sslmode=disable":                       "write sslmode=verify-full",
		network + "?sslmode=require":                       "write sslmode=verify-full",
		network + "?sslmode=verify-ca":                     "write sslmode=verify-full",
		local:                                              "u@127.0.0.1:5432/d schema mcp_oauth",
		"postgres://u:canary@localhost:1/d":                "u@localhost:1/d schema mcp_oauth",
		"postgres://u@[::1]/d":                             "u@::1:5432/d schema mcp_oauth",
		"host=/run/postgresql user=u dbname=d":             "u@/run/postgresql:5432/d schema mcp_oauth",
		"host=a.example,b.example user=u dbname=d":         "write sslmode=verify-full",
		"host=/run/postgresql,b.example user=u dbname=d":   "write sslmode=verify-full",
		"host=a.example,b.example user=u sslmode=disable":  "the connection to a.example could be read",
		"host=a.x,b.x user=u dbname=d sslmode=verify-full": "u@a.x:5432,b.x:5432/d schema mcp_oauth",
		"":                          "the DSN is empty",
		"postgres://u:can ary@db/d": "cannot read the DSN",
		"canary":                    "cannot read the DSN",
	} {
		c, err := Parse(Options{DSN: dsn})
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = c.Key()
		}
		if !strings.Contains(got, want) || strings.Contains(got, "canary") || err == nil && got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", dsn, got, want)
		}
	}
	if c, err := Parse(Options{DSN: local, Schema: "other", MaxConnections: 3}); err != nil || c.pool.MaxConns != 3 || !strings.HasSuffix(c.Key(), " schema other") {
		t.Errorf("%+v, %v", c, err)
	}
}

// Clocks that agree to a second are the same; others are told apart exactly.
func TestClock(t *testing.T) {
	at := time.Date(2026, 11, 28, 8, 0, 0, 5, time.UTC)
	for ahead, want := range map[time.Duration]time.Duration{
		0: 0, 1400 * time.Millisecond: 0, -1400 * time.Millisecond: 0,
		10*time.Minute + 100*time.Millisecond: 10 * time.Minute, -3 * time.Second: -3 * time.Second,
	} {
		var c clock
		c.measured(at, at.Add(ahead), at)
		if got := c.offset(); got != want {
			t.Errorf("%v ahead: offset %v, want %v", ahead, got, want)
		}
		if c.measured(at, at.Add(time.Hour), at.Add(2*time.Second)); c.offset() != want {
			t.Errorf("%v ahead: a slow measurement counts", ahead)
		}
		moved, zero := at, time.Time{}
		c.toDatabase(&moved, &zero)
		if !moved.Equal(at.Add(want)) || !zero.IsZero() {
			t.Errorf("%v ahead: %v, %v", ahead, moved, zero)
		}
		if c.fromDatabase(&moved); !moved.Equal(at) {
			t.Errorf("%v ahead: there and back is %v", ahead, moved)
		}
	}
}
