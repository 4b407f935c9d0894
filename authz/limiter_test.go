package authz

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1000)
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
	l := NewLimiter(1000)
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
		l := NewLimiter(1000)
		l.Allow("k", tc.first, 1)
		if got := !l.Allow("k", tc.second, 1); got != tc.same {
			t.Errorf("%s and %s share a limit = %v", tc.first, tc.second, got)
		}
	}
}

func TestLimiterBounded_N10(t *testing.T) {
	const size = 1600
	l := NewLimiter(size)
	for i := range 100_000 {
		l.Allow("k", fmt.Sprint(i), 60)
	}
	kept := 0
	for i := range l.shards {
		s := &l.shards[i]
		if len(s.buckets.byKey) != s.buckets.recent.Len() {
			t.Error("index and list differ")
		}
		kept += len(s.buckets.byKey)
	}
	if kept > size {
		t.Errorf("remembers %d keys of at most %d", kept, size)
	}
	if l.Allow("k", "99999", 1); !l.Exhausted("k", "99999", 1) {
		t.Error("forgot the newest key")
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := NewLimiter(100_000)
	b.ReportAllocs()
	for b.Loop() {
		l.Allow("register", "2001:db8::1", 1<<30)
	}
}
