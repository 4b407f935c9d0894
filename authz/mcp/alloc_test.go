//go:build !race

// The race detector makes sync.Pool drop what it holds at random.

package mcp

import "testing"

func TestUnwrapAllocatesNothing(t *testing.T) {
	s := NewSessions(keyA)
	wrapped := s.Wrap("grant", "server", "0123456789abcdef")
	if n := testing.AllocsPerRun(200, func() { s.Unwrap("grant", "server", wrapped) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
