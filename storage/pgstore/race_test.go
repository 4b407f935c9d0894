//go:build postgres && race

package pgstore

// The race detector makes each cost ten times as much.
const usualSchedules = 100
