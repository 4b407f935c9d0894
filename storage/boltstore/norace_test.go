//go:build !race

package boltstore

// How much is tried where nobody says how much.
const usualCrashes, usualDamages = 1000, 15
