package changes

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// Whatever the order in which transactions commit, each number is new once, if it
// comes within the window.
func TestPosition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.Permutation(func() (all []int64) {
			for n := range int64(40) {
				all = append(all, n+1)
			}
			return all
		}()).Draw(t, "commits")
		var p position
		committed, handedOut := map[int64]bool{}, map[int64]int{}
		now := start
		read := func() {
			var visible []int64
			for n := range committed {
				if n > p.highest || slices.Contains(p.lookFor(now), n) {
					visible = append(visible, n)
				}
			}
			slices.Sort(visible)
			for _, n := range visible {
				if p.saw(n, now) {
					handedOut[n]++
				}
			}
		}
		for _, n := range numbers {
			committed[n] = true
			if rapid.Bool().Draw(t, "reads") {
				read()
			}
			now = now.Add(window / 50)
		}
		read()
		for _, n := range numbers {
			if handedOut[n] != 1 {
				t.Fatalf("number %d was handed out %d times", n, handedOut[n])
			}
		}
		if left := p.lookFor(now.Add(2 * window)); len(left) != 0 {
			t.Fatalf("it looks for %d", left)
		}
	})
}

// What was rolled back is not looked for without end, however much it is.
func TestPositionIsBounded(t *testing.T) {
	var p position
	p.saw(1, start)
	p.saw(1_000_000, start)
	p.saw(2_000_000, start)
	if n := len(p.lookFor(start)); n != maxMissing {
		t.Errorf("it looks for %d numbers, want %d", n, maxMissing)
	}
	if n := len(p.lookFor(start.Add(window + 1))); n != 0 {
		t.Errorf("it looks for %d numbers after the window", n)
	}
}
