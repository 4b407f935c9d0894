package ratelimit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1000)
		for i := range 3 {
			if !l.Allow("k", "a", 3) {
				t.Fatalf("event %d refused", i)
			}
		}
		if l.Allow("k", "a", 3) || !l.Exhausted("k", "a", 3) {
			t.Error("a fourth event is allowed")
		}
		if !l.Allow("k", "b", 3) || !l.Allow("other", "a", 3) {
			t.Error("another key or kind is limited too")
		}
		if !l.Allow("k", "a", 0) || l.Exhausted("k", "a", 0) {
			t.Error("0 is a limit")
		}
		<-time.After(20 * time.Second)
		if l.Exhausted("k", "a", 3) || !l.Allow("k", "a", 3) || l.Allow("k", "a", 3) {
			t.Error("a third of a minute does not give one event of three back")
		}
	})
}

func TestLimiterFollowsConfiguration(t *testing.T) {
	l := New(1000)
	l.Allow("k", "a", 100)
	if !l.Allow("k", "a", 1) || l.Allow("k", "a", 1) {
		t.Error("a lowered limit is not the one that counts")
	}
}

func TestLimiterAddresses_N10(t *testing.T) {
	for _, tc := range []struct {
		first, second string
		same          bool
	}{
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"not an address", "not an address ", false},
	} {
		l := New(1000)
		l.Allow("k", tc.first, 1)
		if got := !l.Allow("k", tc.second, 1); got != tc.same {
			t.Errorf("%s and %s share a limit = %v", tc.first, tc.second, got)
		}
	}
}

// Whoever holds a block of addresses has a larger limit than one address, but
// not that of each of them.
func TestLimiterBlocks_N10(t *testing.T) {
	for name, tc := range map[string]struct {
		address func(i int) string
		want    int // of 3 for each address
	}{
		"one /64":  {func(i int) string { return fmt.Sprintf("2001:db8:0:1::%x", i) }, 3},
		"a /56":    {func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i%0x100) }, 4 * 3},
		"a /48":    {func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i*0x95%0x10000) }, 16 * 3},
		"many":     {func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i) }, 1000},
		"an IPv4":  {func(int) string { return "192.0.2.1" }, 3},
		"a /24":    {func(i int) string { return fmt.Sprintf("192.0.2.%d", i%256) }, 16 * 3},
		"many /24": {func(i int) string { return fmt.Sprintf("10.%d.%d.1", i/256, i%256) }, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(1 << 14)
				got := 0
				for i := range 1000 {
					if l.Allow("k", tc.address(i), 3) {
						got++
					}
				}
				if got != tc.want {
					t.Errorf("%d events are allowed, want %d", got, tc.want)
				}
			})
		})
	}
}

// One address that asks without end uses up its own limit, not that of the
// block it is in.
func TestLimiterNeighbours_N10(t *testing.T) {
	for address, neighbour := range map[string]string{"192.0.2.1": "192.0.2.2", "2001:db8:0:1::1": "2001:db8:0:2::1"} {
		l := New(1000)
		for range 1000 {
			l.Allow("k", address, 3)
		}
		if !l.Allow("k", neighbour, 3) {
			t.Errorf("%s is limited by %s", neighbour, address)
		}
	}
}

func TestLimiterFor(t *testing.T) {
	l := New(1000)
	l.AllowFor("k", "192.0.2.1", "a", 1)
	if l.AllowFor("k", "192.0.2.1", "a", 1) {
		t.Error("a second event is allowed")
	}
	if !l.AllowFor("k", "192.0.2.2", "a", 1) || !l.AllowFor("k", "192.0.2.1", "b", 1) || !l.Allow("k", "192.0.2.1", 1) {
		t.Error("another address or client is limited too")
	}
}

// A flood of one kind must not make another be forgotten: it would have its
// full limit again.
func TestLimiterKindsAreApart_N10(t *testing.T) {
	l := New(16)
	l.Allow("k", "a", 1)
	for i := range 10_000 {
		l.Allow("other", fmt.Sprint(i), 1)
	}
	if l.Allow("k", "a", 1) {
		t.Error("another kind's flood gave an exhausted key its limit back")
	}
}

func TestLimiterBounded_N10(t *testing.T) {
	const size = 1600
	l := New(size)
	for i := range 100_000 {
		l.Allow("k", fmt.Sprint(i), 60)
	}
	if kept := l.kinds["k"].byKey.Len(); kept > size {
		t.Errorf("remembers %d keys of at most %d", kept, size)
	}
	if l.Allow("k", "99999", 1); !l.Exhausted("k", "99999", 1) {
		t.Error("forgot the newest key")
	}
}

// The holder of a block cannot fill the memory with its addresses: beyond the
// block's limit none of them is remembered.
func TestLimiterBlockFillsNoMemory_N10(t *testing.T) {
	l := New(1000)
	l.Allow("k", "192.0.2.1", 1)
	for i := range 0x10000 {
		l.Allow("k", fmt.Sprintf("2001:db8:0:%x::1", i), 1)
	}
	if kept := l.kinds["k"].byKey.Len(); kept > 50 {
		t.Errorf("remembers %d keys", kept)
	}
	if l.Allow("k", "192.0.2.1", 1) {
		t.Error("an exhausted address was forgotten")
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := New(100_000)
	b.ReportAllocs()
	for b.Loop() {
		l.Allow("register", "2001:db8::1", 1<<30)
	}
}
