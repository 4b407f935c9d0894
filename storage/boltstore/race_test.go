//go:build race

package boltstore

// The race detector looks at the same code each time, and makes it slow.
const usualCrashes, usualDamages = 100, 2
