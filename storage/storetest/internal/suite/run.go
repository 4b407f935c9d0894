package suite

import "testing"

// Run runs the tests of each suite, by name, each on a fixture of its own.
func Run[F any](t *testing.T, suites map[string]map[string]func(F), open func(t *testing.T) F) {
	for name, tests := range suites {
		t.Run(name, func(t *testing.T) {
			for name, test := range tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel() // a disk takes several stores at a time
					test(open(t))
				})
			}
		})
	}
}
