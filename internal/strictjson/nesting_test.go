package strictjson

import (
	"testing"

	"pgregory.net/rapid"
)

// A stack of booleans is what it stands for.
func TestNesting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n Nesting
		var want []bool
		for range rapid.IntRange(0, 2*maxNesting).Draw(t, "steps") {
			array := rapid.Bool().Draw(t, "array")
			if rapid.IntRange(0, 3).Draw(t, "what") > 0 {
				if got := n.Open(array); got != (len(want)+1 < maxNesting) {
					t.Fatalf("opened at %d: %t", len(want), got)
				} else if got {
					want = append(want, array)
				}
			} else if got := n.Ends(array); got != (len(want) > 0 && want[len(want)-1] == array) {
				t.Fatalf("ends at %v: %t", want, got)
			} else if got {
				n.Close()
				want = want[:len(want)-1]
			}
			if n.Depth() != len(want) || len(want) > 0 && n.InArray() != want[len(want)-1] {
				t.Fatalf("%d open, in an array %t; want %v", n.Depth(), n.InArray(), want)
			}
		}
	})
}
