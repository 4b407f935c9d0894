package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// fillPlaces takes all places, each for another sender, and returns what leaves
// them.
func fillPlaces(t *testing.T, p *places) []func() {
	t.Helper()
	var leave []func()
	for i := range downloadsAtOnce {
		f, ok := p.take(fmt.Sprintf("10.0.%d.1", i))
		if !ok {
			t.Fatalf("no place %d", i)
		}
		leave = append(leave, f)
	}
	return leave
}

// takeAll takes as many places as the address gets.
func takeAll(p *places, address string) (leave []func()) {
	for {
		f, ok := p.take(address)
		if !ok {
			return leave
		}
		leave = append(leave, f)
	}
}

// A sender gets half of what the ones before it left.
func TestPlacesShared_H11(t *testing.T) {
	p := newPlaces(32)
	var leave []func()
	for i, want := range []int{16, 8, 4, 2, 1, 1, 0} {
		got := takeAll(p, fmt.Sprintf("2001:db8:%d::1", i))
		if len(got) != want {
			t.Errorf("sender %d got %d places, want %d", i, len(got), want)
		}
		leave = append(leave, got...)
	}
	for _, f := range leave {
		f()
	}
	if p.free != 32 || len(p.held)+len(p.address) != 0 {
		t.Errorf("%d free, %d senders and %d addresses kept", p.free, len(p.held), len(p.address))
	}
}

// Who holds nothing goes before who holds something, however long that one's
// queue is, and an address before its busy neighbour.
func TestPlacesGoToWhoHoldsFewest_H11(t *testing.T) {
	p := newPlaces(4)
	flood := takeAll(p, "2001:db8:1::1") // 2 of 4
	other := append(takeAll(p, "2001:db8:2::1"), takeAll(p, "2001:db8:3::1")...)
	var order []string
	waiting := []string{"2001:db8:1::1", "2001:db8:1::1", "2001:db8:1:1::1", "198.51.100.1", "203.0.113.1"}
	for _, address := range waiting {
		p.waiting = append(p.waiting, newWaiter(address))
	}
	queue := slices.Clone(p.waiting)
	entered := func() string { // since it was last asked
		order = order[:0]
		queue = slices.DeleteFunc(queue, func(w *waiter) bool {
			select {
			case <-w.entered:
				order = append(order, w.address)
				return true
			default:
				return false
			}
		})
		return strings.Join(order, " ")
	}
	for i, step := range []struct {
		leave func()
		want  string
	}{
		{other[0], "198.51.100.1"},
		{flood[0], "203.0.113.1"},
		{other[1], ""}, // one is free, as many as the flood holds
		{func() { p.leave(newWaiter("198.51.100.1")) }, "2001:db8:1:1::/64"},
	} {
		step.leave()
		if got := entered(); got != step.want {
			t.Errorf("step %d: %q entered, want %q", i, got, step.want)
		}
	}
}

// Who gives up leaves no place taken, whenever that is.
func TestPlacesGivenUp_H11(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(1)
		leave, _ := p.take("192.0.2.1")
		ctx, hangUp := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := p.wait(ctx, "198.51.100.1"); done <- err }()
		synctest.Wait()
		hangUp()
		if err := <-done; !errors.Is(err, context.Canceled) || len(p.waiting) != 0 {
			t.Errorf("%v, %d still wait", err, len(p.waiting))
		}
		leave()
		w := newWaiter("198.51.100.1")
		p.enter(w) // got its place at the moment it gave up
		p.giveUp(w)
		if p.free != 1 || len(p.held) != 0 {
			t.Errorf("%d free, %v held", p.free, p.held)
		}
	})
}
